"""A flag's rules in one environment: adding, editing, ordering, switching and deleting them."""

from starlette.responses import Response

from cairn.app import rules
from cairn.app.flags import list_flags_of
from cairn.app.segments import list_segments
from cairn.errors import CairnError
from cairn.flags.definition import NewRule, RuleChanges, StoredFlag
from cairn.flags.model import Rule
from cairn.segments.definition import Segment
from cairn.web import rule_form
from cairn.web.pages.flags import this_flag
from cairn.web.rule_form import Draft
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.permission import Verb

FIRST_VARIABLE = "your_custom_variable"  # suggested; the application passes the identity under this name


def new_rule_page(visit: Visit) -> Response:
    stored = this_flag(visit)
    taken = {rule.key for rule in rules.list_rules(visit.call, stored.flag.id, visit.here)}
    free = next(f"rule-{number}" for number in range(1, len(taken) + 2) if f"rule-{number}" not in taken)
    draft = Draft(
        key=free, variation=str(stored.flag.variations[-1].id), rows=(rule_form.Row(name=FIRST_VARIABLE),)
    )
    return _editor(visit, None, draft)


def edit_rule_page(visit: Visit) -> Response:
    _, rule = _rule_here(visit)
    return _editor(visit, rule, rule_form.draft_of(rule))


def _rule_here(visit: Visit) -> tuple[StoredFlag, Rule]:
    """The rule of the address. Raises RuleNotFound when it is another flag's or environment's."""
    stored = this_flag(visit)
    return stored, rules.get_rule(visit.call, stored.flag.id, visit.here, visit.number("rule_id"))


def _editor(visit: Visit, rule: Rule | None, draft: Draft, error: CairnError | None = None) -> Response:
    stored = this_flag(visit)
    segments = list_segments(visit.call, visit.here.project_id)
    flags = [listed.stored.flag for listed in list_flags_of(visit.call, visit.here)]
    others = [(flag.id, flag.key) for flag in flags if flag.id != stored.flag.id]
    return visit.page(
        "rule_edit.html", stored=stored, rule=rule, draft=draft, error=error, choices=rule_form, flags=others,
        segments=[(each.id, _named(each)) for each in segments],
        variations=[(each.id, each.name or each.key) for each in stored.flag.variations],
        has_locations=visit.core.settings.location_file is not None, status=error.status if error else 200,
    )  # fmt: skip


def _named(segment: Segment) -> str:
    return f"{segment.name} ({segment.key})"


def save_new_rule(visit: Visit) -> Response:
    return _save(visit, None)


def save_rule(visit: Visit) -> Response:
    _, rule = _rule_here(visit)
    return _save(visit, rule)


def _save(visit: Visit, rule: Rule | None) -> Response:
    draft, action = rule_form.read(visit.form), visit.form("do", "save")
    if action != "save":
        return _editor(visit, rule, rule_form.change(draft, action))
    try:
        stored = this_flag(visit)
        saved = _written(visit, stored, draft, rule)
    except CairnError as error:
        return _editor(visit, rule, draft, error)
    url = visit.url(f"/flags/{stored.flag.key}")
    return visit.leave(url, f"Rule {saved.name} is saved. Applications see it at their next poll.")


def _written(visit: Visit, stored: StoredFlag, draft: Draft, rule: Rule | None) -> Rule:
    condition, traffic = rule_form.condition_of(draft), rule_form.traffic_of(draft)
    if rule is None:
        allocations = rule_form.allocations_of(draft, stored.flag, None)
        new = NewRule(
            kind=rule_form.kind_of(draft), key=draft.key, name=draft.name, condition=condition, traffic=traffic,
            allocations=allocations,
        )  # fmt: skip
        return rules.add_rule(visit.call, stored.flag.id, visit.here, new).value
    kept = Draft(kind=rule.kind, variation=draft.variation, weights=draft.weights)
    changes = RuleChanges(
        name=draft.name or rule.key, condition=condition, traffic=traffic,
        allocations=rule_form.allocations_of(kept, stored.flag, rule),
    )  # fmt: skip
    return rules.change_rule(
        visit.call, stored.flag.id, visit.here, rule.id, changes, expected=visit.seen_edition
    ).value


def toggle_rule(visit: Visit) -> Response:
    stored, rule = _rule_here(visit)
    is_on = visit.form("on") == "1"
    rules.switch_rule(visit.call, stored.flag.id, visit.here, rule.id, is_on=is_on)
    return _back(visit, stored)


def reorder_rule(visit: Visit) -> Response:
    stored, rule = _rule_here(visit)
    step = -1 if visit.form("to") == "up" else 1
    rules.shift_rule(visit.call, stored.flag.id, visit.here, rule.id, step)
    return _back(visit, stored)


def remove_rule(visit: Visit) -> Response:
    stored, rule = _rule_here(visit)
    rules.delete_rule(visit.call, stored.flag.id, visit.here, rule.id)
    return _back(visit, stored, f"Rule {rule.name or rule.key} is deleted.")


def _back(visit: Visit, stored: StoredFlag, notice: str = "") -> Response:
    return visit.go(visit.url(f"/flags/{stored.flag.key}"), notice)


_RULES = "/env/{environment}/flags/{key}/rules"
PAGES: tuple[Page, ...] = (
    get(f"{_RULES}/new", new_rule_page, Verb.DEFINE),
    post(f"{_RULES}/new", save_new_rule),
    get(f"{_RULES}/{{rule_id}}/edit", edit_rule_page, Verb.DEFINE),
    post(f"{_RULES}/{{rule_id}}/edit", save_rule),
    post(f"{_RULES}/{{rule_id}}/toggle", toggle_rule),
    post(f"{_RULES}/{{rule_id}}/move", reorder_rule),
    post(f"{_RULES}/{{rule_id}}/delete", remove_rule),
)

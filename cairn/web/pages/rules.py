"""A flag's rules in one environment: adding, editing, ordering, switching and deleting them."""

import sqlalchemy as sa
from starlette.responses import Response

from cairn.errors import CairnError, NotFound
from cairn.flags.definition import (
    NewRule,
    RuleChanges,
    StoredFlag,
    add_rule,
    delete_rule,
    get_rule,
    list_flags,
    list_rules,
    move_rule,
    set_rule_state,
    update_rule,
)
from cairn.flags.model import Rule
from cairn.segments.definition import Segment, list_segments
from cairn.web import rule_form
from cairn.web.pages.flags import this_flag
from cairn.web.rule_form import Draft
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.permission import Verb

FIRST_VARIABLE = "your_custom_variable"  # suggested; the application passes the identity under this name


def new_rule_page(visit: Visit) -> Response:
    with visit.reading() as connection:
        stored = this_flag(visit, connection)
        taken = {
            each.key for each in list_rules(connection, visit.workspace_id, stored.flag.id, visit.here.id)
        }
    free = next(f"rule-{number}" for number in range(1, len(taken) + 2) if f"rule-{number}" not in taken)
    draft = Draft(
        key=free, variation=str(stored.flag.variations[-1].id), rows=(rule_form.Row(name=FIRST_VARIABLE),)
    )
    return _editor(visit, None, draft)


def edit_rule_page(visit: Visit) -> Response:
    with visit.reading() as connection:
        _, rule = _rule_here(visit, connection)
    return _editor(visit, rule, rule_form.draft_of(rule))


def _rule_here(visit: Visit, connection: sa.Connection) -> tuple[StoredFlag, Rule]:
    """The rule of the address. Raises NotFound when it is another flag's or environment's."""
    stored = this_flag(visit, connection)
    rule, flag_id, environment_id = get_rule(connection, visit.workspace_id, visit.number("rule_id"))
    if flag_id != stored.flag.id or environment_id != visit.here.id:
        raise NotFound(f"rule {rule.id} belongs to another flag or environment")
    return stored, rule


def _editor(visit: Visit, rule: Rule | None, draft: Draft, error: CairnError | None = None) -> Response:
    with visit.reading() as connection:
        stored = this_flag(visit, connection)
        segments = list_segments(connection, visit.workspace_id, visit.here.project_id)
        flags = list_flags(connection, visit.workspace_id, visit.here.project_id)
    others = [(each.flag.id, each.flag.key) for each in flags if each.flag.id != stored.flag.id]
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
    with visit.reading() as connection:
        _, rule = _rule_here(visit, connection)
    return _save(visit, rule)


def _save(visit: Visit, rule: Rule | None) -> Response:
    draft, action = rule_form.read(visit.form), visit.form("do", "save")
    if action != "save":
        return _editor(visit, rule, rule_form.change(draft, action))
    try:
        with visit.core.writing() as connection:
            stored = this_flag(visit, connection)
            saved = _written(visit, connection, stored, draft, rule)
    except CairnError as error:
        return _editor(visit, rule, draft, error)
    visit.changed()
    url = visit.url(f"/flags/{stored.flag.key}")
    return visit.leave(url, f"Rule {saved.name} is saved. Applications see it at their next poll.")


def _written(
    visit: Visit, connection: sa.Connection, stored: StoredFlag, draft: Draft, rule: Rule | None
) -> Rule:
    condition, traffic = rule_form.condition_of(draft), rule_form.traffic_of(draft)
    if rule is None:
        allocations = rule_form.allocations_of(draft, stored.flag, None)
        new = NewRule(
            kind=rule_form.kind_of(draft), key=draft.key, name=draft.name, condition=condition, traffic=traffic,
            allocations=allocations,
        )  # fmt: skip
        return add_rule(connection, visit.workspace_id, stored.flag.id, visit.here.id, new, visit.now)
    kept = Draft(kind=rule.kind, variation=draft.variation, weights=draft.weights)
    changes = RuleChanges(
        name=draft.name or rule.key, condition=condition, traffic=traffic,
        allocations=rule_form.allocations_of(kept, stored.flag, rule),
    )  # fmt: skip
    return update_rule(connection, visit.workspace_id, rule.id, changes, visit.now)


def toggle_rule(visit: Visit) -> Response:
    with visit.core.writing() as connection:
        stored, rule = _rule_here(visit, connection)
        set_rule_state(connection, visit.workspace_id, rule.id, visit.form("on") == "1", visit.now)
    return _back(visit, stored)


def reorder_rule(visit: Visit) -> Response:
    with visit.core.writing() as connection:
        stored, rule = _rule_here(visit, connection)
        order = [
            each.id for each in list_rules(connection, visit.workspace_id, stored.flag.id, visit.here.id)
        ]
        step = -1 if visit.form("to") == "up" else 1
        move_rule(connection, visit.workspace_id, rule.id, max(0, order.index(rule.id) + step))
    return _back(visit, stored)


def remove_rule(visit: Visit) -> Response:
    with visit.core.writing() as connection:
        stored, rule = _rule_here(visit, connection)
        delete_rule(connection, visit.workspace_id, rule.id)
    return _back(visit, stored, f"Rule {rule.name or rule.key} is deleted.")


def _back(visit: Visit, stored: StoredFlag, notice: str = "") -> Response:
    visit.changed()
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

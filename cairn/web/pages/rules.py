"""A flag's rules in one environment: adding, editing, ordering, switching and deleting them."""

from collections.abc import Mapping

from starlette.responses import Response

from cairn.app import rules
from cairn.app.editions import Edited
from cairn.app.flags import list_offered, name_flags, read_flag
from cairn.app.segments import list_segments
from cairn.conditions.describe import Names, lines
from cairn.flags.definition import DefinitionDamaged, StoredFlag
from cairn.flags.model import Rule
from cairn.flags.rule_definition import NewRule, RuleChanges
from cairn.web import rule_form
from cairn.web.editor.editing import Addresses, Editor
from cairn.web.editor.refusal import Stored
from cairn.web.pages.flags import this_flag
from cairn.web.portion import choices, left_out
from cairn.web.rule_form import RuleDraft
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.permission import Verb

LISTS = {"heap": "from Heap", "static": "own list"}  # what stands behind a list's name
FIRST_VARIABLE = "your_custom_variable"  # suggested; the application passes the identity under this name


def _find(visit: Visit) -> Edited[Rule]:
    """The rule of the address. Raises RuleNotFound when it is another flag's or environment's."""
    stored = this_flag(visit)
    return rules.read_rule(visit.call, stored.flag.id, visit.here, visit.number("rule_id"))


def _flag_with_variations(visit: Visit) -> StoredFlag:
    """The flag of the address. Raises DefinitionDamaged where nobody knows what a rule could give."""
    stored = this_flag(visit)
    if why := stored.flag.unreadable.get("variations"):
        raise DefinitionDamaged(f"{why}. Save the flag's variations first", field="variations")
    return stored


def _addresses(visit: Visit, rule: Rule | None) -> Addresses:
    flag = visit.url(f"/flags/{visit.part('key')}")
    return Addresses(f"{flag}/rules/{rule.id}/edit" if rule else f"{flag}/rules/new", flag)


def _values(visit: Visit, rule: Rule | None, draft: RuleDraft) -> Mapping[str, object]:
    stored = _flag_with_variations(visit)
    segments = list_segments(visit.call, visit.here.project_id)
    others = [(flag.id, flag.key) for flag in name_flags(visit.call, visit.here) if flag.id != stored.flag.id]
    named: list[tuple[int | str, str]] = [
        (segment.id, f"{segment.name} ({segment.key})") for segment in segments
    ]
    named += [
        (offered.id, f"{offered.name} ({LISTS[offered.kind]})")
        for offered in list_offered(visit.call, visit.here)
    ]
    known_ids = {str(value) for value, _ in named}
    # A list that is gone stays chosen, so that its row says which one it was.
    named += [
        (row.segment, row.segment) for row in draft.rows if row.segment and row.segment not in known_ids
    ]
    return {
        "stored": stored,
        "rule": rule,
        "choices": rule_form,
        "flags": choices(others, [row.flag for row in draft.rows]),
        "more_flags": left_out(others),
        "segments": choices(named, [row.segment for row in draft.rows]),
        "more_segments": left_out(named),
        "variations": [
            (variation.id, variation.name or variation.key) for variation in stored.flag.variations
        ],
        "has_locations": visit.core.settings.location_file is not None,
    }


def _save(visit: Visit, rule: Rule | None, draft: RuleDraft, expected: int | None) -> Response:
    stored = _flag_with_variations(visit)
    saved = _written(visit, stored, draft, rule, expected)
    url = visit.url(f"/flags/{stored.flag.key}")
    return visit.leave(url, f"Rule {saved.name} is saved. Applications see it at their next poll.")


def _written(
    visit: Visit, stored: StoredFlag, draft: RuleDraft, rule: Rule | None, expected: int | None
) -> Rule:
    condition, traffic = rule_form.condition_of(draft), rule_form.traffic_of(draft)
    if rule is None:
        allocations = rule_form.allocations_of(draft, stored.flag, None)
        new = NewRule(
            kind=rule_form.kind_of(draft),
            key=draft.key,
            name=draft.name,
            condition=condition,
            traffic=traffic,
            allocations=allocations,
        )
        return rules.add_rule(visit.call, stored.flag.id, visit.here, new).value
    kept = RuleDraft(kind=rule.kind, variation=draft.variation, weights=draft.weights)
    changes = RuleChanges(
        name=draft.name or rule.key,
        condition=condition,
        traffic=traffic,
        allocations=rule_form.allocations_of(kept, stored.flag, rule),
    )
    return rules.change_rule(
        visit.call, stored.flag.id, visit.here, rule.id, changes, expected=expected
    ).value


def _stored(visit: Visit, rule: Rule) -> Mapping[str, Stored]:
    flag = read_flag(visit.call, visit.here, visit.part("key"))
    names = Names(
        segments={segment.id: segment.name for segment in flag.segments},
        flags=flag.flags,
        lists={offered.id: offered.name for offered in flag.lists},
    )
    variations = {variation.id: variation.name or variation.key for variation in flag.stored.flag.variations}
    shares = [
        f"{allocation.weight:g} % {variations.get(allocation.variation_id, '?')}"
        for allocation in rule.allocations
    ]
    audience = [
        f"{line.joiner} {''.join(phrase.text for phrase in line.phrases)}"
        for line in lines(rule.condition, names)
    ]
    return {
        "name": Stored("Name", rule.name),
        "on": Stored("Switch", "on" if rule.is_on else "off"),
        "condition": Stored("Audience", " ".join(audience) or "everybody"),
        "traffic": Stored("Traffic", f"{rule_form.text_of(rule.traffic)} %"),
        "allocations": Stored("Shares", ", ".join(shares)),
    }


EDITOR = Editor(
    "rule",
    "rule_edit.html",
    rule_form.WORDING,
    RuleDraft,
    find=_find,
    draft_of=lambda _, rule: rule_form.draft_of(rule),
    addresses=_addresses,
    values=_values,
    save=_save,
    stored=_stored,
    parameter="rule_id",
    read=lambda visit, _: rule_form.read(visit.form),
)


def new_rule_page(visit: Visit) -> Response:
    flag = _flag_with_variations(visit).flag
    taken = {rule.key for rule in rules.list_rules(visit.call, flag.id, visit.here)}
    free = next(f"rule-{number}" for number in range(1, len(taken) + 2) if f"rule-{number}" not in taken)
    variation = str(rule_form.first_variation(flag).id)
    draft = RuleDraft(key=free, variation=variation, rows=(rule_form.AudienceRow(name=FIRST_VARIABLE),))
    return EDITOR.show(visit, None, draft)


def _rule_here(visit: Visit) -> tuple[StoredFlag, Rule]:
    """The rule of the address, and its flag. Raises as `_find`."""
    return this_flag(visit), _find(visit).value


def toggle_rule(visit: Visit) -> Response:
    stored, rule = _rule_here(visit)
    is_on = visit.form("on") == "1"
    rules.switch_rule(
        visit.call, stored.flag.id, visit.here, rule.id, is_on=is_on, expected=visit.seen_edition
    )
    return _back(visit, stored)


def reorder_rule(visit: Visit) -> Response:
    stored, rule = _rule_here(visit)
    step = -1 if visit.form("to") == "up" else 1
    rules.shift_rule(visit.call, stored.flag.id, visit.here, rule.id, step, expected=visit.seen_edition)
    return _back(visit, stored)


def remove_rule(visit: Visit) -> Response:
    stored, rule = _rule_here(visit)
    rules.delete_rule(visit.call, stored.flag.id, visit.here, rule.id, expected=visit.seen_edition)
    return _back(visit, stored, f"Rule {rule.name or rule.key} is deleted.")


def _back(visit: Visit, stored: StoredFlag, notice: str = "") -> Response:
    return visit.go(visit.url(f"/flags/{stored.flag.key}"), notice)


_RULES = "/env/{environment}/flags/{key}/rules"
PAGES: tuple[Page, ...] = (
    get(f"{_RULES}/new", new_rule_page, Verb.DEFINE),
    post(f"{_RULES}/new", EDITOR.post_new),
    get(f"{_RULES}/{{rule_id}}/edit", EDITOR.open, Verb.DEFINE),
    post(f"{_RULES}/{{rule_id}}/edit", EDITOR.post),
    post(f"{_RULES}/{{rule_id}}/toggle", toggle_rule),
    post(f"{_RULES}/{{rule_id}}/move", reorder_rule),
    post(f"{_RULES}/{{rule_id}}/delete", remove_rule),
)

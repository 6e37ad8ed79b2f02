"""The rule editor's form: an audience of rows, traffic and variations, to and from a rule. Pure.

One level is offered: rows joined by all or any. An audience of another shape (imported, or from the API) is edited as
JSON instead; nothing is ever simplified silently.
"""

from typing import get_args

import msgspec
from msgspec import Struct, structs

from cairn.conditions import describe, operand
from cairn.conditions.check import parse
from cairn.conditions.tree import (
    EVERYBODY,
    And,
    Attribute,
    Condition,
    InList,
    Not,
    Or,
    OtherFlag,
    Place,
    Visitor,
)
from cairn.errors import InvalidInput
from cairn.flags.checks import RuleInvalid
from cairn.flags.model import Allocation, Flag, Rule, RuleKind
from cairn.web.form import Form

SUBJECTS: tuple[tuple[str, str], ...] = (
    ("attribute", "custom variable"), ("visitor", "visitor id"), ("country", "country"), ("region", "region"),
    ("city", "city"), ("flag", "other flag"),
)  # fmt: skip
OPERATORS: tuple[tuple[str, str], ...] = tuple(  # of a custom variable
    (operator, describe.OPERATORS[operator])
    for operator in (
        "in_list", "not_in_list", "is", "is_not", "is_ignoring_case", "contains", "starts_with", "ends_with", "matches",
        "greater", "at_least", "less", "at_most",
    )
)  # fmt: skip
KINDS: tuple[tuple[str, str], ...] = (
    ("rollout", "Rollout: give it to them"),
    ("testing", "Test: split them among variations"),
    ("personalise", "Personalise: give them a variation of their own"),
)
MOST = 100  # rows


class Row(Struct, frozen=True):
    """One line of the audience."""

    subject: str = "attribute"
    name: str = ""
    operator: str = "in_list"
    segment: str = ""  # id, of a list
    value: str = ""
    flag: str = ""  # id, of another flag
    state: str = "on"


class Draft(Struct, frozen=True):
    """What the editor shows. Numbers stay text until they are checked, so that a mistake can be shown as typed."""

    name: str = ""
    key: str = ""
    kind: str = "rollout"
    traffic: str = "100"
    variation: str = ""  # id
    weights: dict[str, str] = {}  # variation id -> percent
    join: str = "and"
    rows: tuple[Row, ...] = ()
    json: str = ""


def read(form: Form) -> Draft:
    weights = {
        name.removeprefix("weight-"): value.strip() for name, value in form if name.startswith("weight-")
    }
    places = {name[1:].partition(".")[0] for name, _ in form if name.startswith("r")}
    indexes = sorted(int(each) for each in places if each.isascii() and each.isdigit() and len(each) < 4)[
        :MOST
    ]
    rows = tuple(
        Row(
            **{
                field: form(f"r{at}.{field}", getattr(Row(), field)).strip()
                for field in Row.__struct_fields__
            }
        )
        for at in indexes
    )
    return Draft(
        form.line("name"), form.line("key"), form("kind", "rollout"), form.line("traffic", "100"), form("variation"),
        weights, "or" if form("join") == "or" else "and", rows, form("json"),
    )  # fmt: skip


def change(draft: Draft, action: str) -> Draft:
    verb, _, place = action.partition(" ")
    if verb == "add-row":
        return structs.replace(draft, rows=(*draft.rows, Row()))
    if verb == "remove-row" and place.isascii() and place.isdigit():
        return structs.replace(
            draft, rows=tuple(row for at, row in enumerate(draft.rows) if at != int(place))
        )
    return draft


def kind_of(draft: Draft) -> RuleKind:
    return next((each for each in get_args(RuleKind) if each == draft.kind), "rollout")


def traffic_of(draft: Draft) -> float:
    """Raises RuleInvalid."""
    return _percent(draft.traffic, "traffic")


def allocations_of(draft: Draft, flag: Flag, before: Rule | None) -> tuple[Allocation, ...]:
    """Raises RuleInvalid. Numbers of an imported rule stay."""
    numbers = {each.variation_id: each.number for each in before.allocations} if before else {}
    if kind_of(draft) != "testing":
        chosen = next(
            (each for each in flag.variations if str(each.id) == draft.variation), flag.variations[0]
        )
        return (Allocation(chosen.id, 100, numbers.get(chosen.id, 0)),)
    weighed = ((each, draft.weights.get(str(each.id), "")) for each in flag.variations)
    return tuple(
        Allocation(each.id, _percent(weight, "allocations"), numbers.get(each.id, 0))
        for each, weight in weighed
        if weight not in ("", "0")
    )


def _percent(text: str, field: str) -> float:
    try:
        value = float(text.replace("%", "").replace(",", "."))
    except ValueError as error:
        raise RuleInvalid(f"{field}: expected a percentage, got {text[:20]!r}", field=field) from error
    return int(value) if value == value and abs(value) < 1e6 and value.is_integer() else value


def condition_of(draft: Draft) -> Condition:
    """Raises InvalidInput whose field is the row's, such as `r1`, or `condition`."""
    if draft.json:
        try:
            return parse(msgspec.json.decode(draft.json))
        except msgspec.DecodeError as error:
            raise InvalidInput(f"condition: this is not JSON: {error}", field="condition") from error
    leaves = [_leaf(row, f"r{at}") for at, row in enumerate(draft.rows)]
    if not leaves:
        return EVERYBODY
    if len(leaves) == 1:
        return leaves[0]
    return And(tuple(leaves)) if draft.join == "and" else Or(tuple(leaves))


def _leaf(row: Row, field: str) -> Condition:
    match row.subject:
        case "visitor":
            return Visitor(_given(row.value, "visitor id", field))
        case "country" | "region" | "city":
            return Place(row.subject, _given(row.value, row.subject, field))
        case "flag":
            return OtherFlag(_number(row.flag, "flag", field), "off" if row.state == "off" else "on")
        case _:
            return _attribute(row, field)


def _attribute(row: Row, field: str) -> Condition:
    name = _given(row.name, "custom variable's name", field)
    if row.operator in ("in_list", "not_in_list"):
        leaf = InList(name, segment_id=_number(row.segment, "segment", field))
        return leaf if row.operator == "in_list" else Not(leaf)
    if row.operator == "is_not":
        return Not(_checked(Attribute(name, "is", row.value), field))
    for operator in ("is", "is_ignoring_case", "contains", "starts_with", "ends_with", "matches", "greater",
                     "at_least", "less", "at_most"):  # fmt: skip
        if operator == row.operator:
            return _checked(Attribute(name, operator, row.value), field)
    raise InvalidInput(f"operator: {row.operator[:30]!r} is not known; choose one of the list", field=field)


def _checked(leaf: Attribute, field: str) -> Attribute:
    """Raises InvalidInput at the row for what no flag SDK can be asked."""
    try:
        operand.check(leaf)
    except InvalidInput as error:
        raise InvalidInput(str(error), field=field) from error
    return leaf


def _given(text: str, what: str, field: str) -> str:
    if not text:
        raise InvalidInput(f"value: a {what} is missing; fill it in or remove the row", field=field)
    return text


def _number(text: str, what: str, field: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidInput(f"value: choose a {what}", field=field)
    return int(text)


def draft_of(rule: Rule) -> Draft:
    condition = rule.condition
    nodes = condition.nodes if isinstance(condition, And | Or) else (condition,)
    rows = tuple(row for row in map(_row, nodes) if row is not None)
    draft = Draft(
        rule.name, rule.key, rule.kind, text_of(rule.traffic), str(rule.allocations[0].variation_id),
        {str(each.variation_id): text_of(each.weight) for each in rule.allocations},
        "or" if isinstance(condition, Or) else "and", rows,
    )  # fmt: skip
    if len(rows) == len(nodes) and _says(draft, condition):
        return draft
    text = msgspec.json.format(msgspec.json.encode(condition), indent=2).decode()
    return structs.replace(draft, rows=(), json=text)


def _says(draft: Draft, condition: Condition) -> bool:
    try:
        return _plain(condition_of(draft)) == _plain(condition)
    except InvalidInput:
        return False


def _plain(condition: Condition) -> Condition:
    """A group of one means its only node."""
    return condition.nodes[0] if isinstance(condition, And | Or) and len(condition.nodes) == 1 else condition


def text_of(percent: float) -> str:
    return f"{percent:g}" if percent == round(percent, 6) else str(percent)


def _row(leaf: Condition) -> Row | None:
    match leaf:
        case Not(InList() as inner):
            return Row("attribute", inner.attribute, "not_in_list", str(inner.segment_id))
        case InList():
            return Row("attribute", leaf.attribute, "in_list", str(leaf.segment_id))
        case Not(Attribute() as inner) if inner.operator == "is":
            return Row("attribute", inner.name, "is_not", value=inner.value)
        case Attribute():
            return Row("attribute", leaf.name, leaf.operator, value=leaf.value)
        case Visitor():
            return Row("visitor", value=leaf.ids)
        case Place():
            return Row(leaf.key, value=leaf.value)
        case OtherFlag():
            return Row("flag", flag=str(leaf.flag_id), state=leaf.state)
        case _:
            return None

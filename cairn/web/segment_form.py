"""The segment editor's form: rows in groups, to and from a condition. Pure.

Two levels are offered, which is what people write: groups of rows, each joined by all or any. A condition that does
not fit (from the API) is edited as JSON instead; nothing is ever simplified silently.
"""

from datetime import datetime, tzinfo
from typing import Annotated, get_args

import msgspec
from msgspec import Struct, structs

from cairn.clock import from_ms, to_ms
from cairn.conditions import describe
from cairn.conditions.check import check, parse
from cairn.conditions.tree import (
    And,
    Between,
    Condition,
    CountOperator,
    Did,
    EventMatch,
    Last,
    Or,
    PropertyFilter,
    Unit,
    UserProperty,
)
from cairn.errors import InvalidInput
from cairn.event import Kind
from cairn.query.bindings import END_MS, FIRST_MS
from cairn.web.editor import form_rows
from cairn.web.editor.choices import (
    OPERATORS,
    WITH_LIST,
    WITHOUT_VALUE,
    Choices,
    known,
    operator_of,
    text_of,
    value_of,
)
from cairn.web.editor.form_rows import Rows
from cairn.web.editor.refusal import Wording, placed
from cairn.web.form import Form

__all__ = ["OPERATORS", "WITHOUT_VALUE", "WITH_LIST"]

SUBJECTS: Choices = (("property", "have property"), ("did", "did"), ("did_not", "did not"))
COUNTS: Choices = tuple(describe.COUNTS.items())
WINDOWS: Choices = (("ever", "ever"), ("last", "in the last"), ("between", "between"))
UNITS: Choices = tuple((unit, f"{unit}s") for unit in get_args(Unit))
KINDS: Choices = (
    (Kind.CUSTOM, "event"),
    (Kind.PAGEVIEW, "page view"),
    (Kind.CLICK, "click"),
    (Kind.CHANGE, "change"),
    (Kind.SUBMIT, "submit"),
    (Kind.TOUCH, "touch"),
    (Kind.SESSION, "session"),
    (Kind.EXPOSURE, "exposure"),
    ("", "anything"),
)
# Then a defined event's id, where a kind may stand.
DEFINED = "defined-"
WORDING = Wording(
    {
        "name": "Name",
        "key": "Key",
        "description": "Description",
        "json": "Condition",
        ".key": "Property",
        ".operator": "Operator",
        ".value": "Value",
        ".kind": "Kind of event",
        ".name": "Event name",
        ".count": "Times",
        ".amount": "How many",
        ".start": "From",
        ".end": "Until",
    }
)
_LOCAL = "%Y-%m-%dT%H:%M:%S"


class FilterRow(Struct, frozen=True):
    key: str = ""
    operator: str = "is"
    value: str = ""  # of `in`: one a line


class ConditionRow(Struct, frozen=True):
    """One line of the editor."""

    what: str = "property"  # property, did, did_not
    key: str = ""
    operator: str = "is"
    value: str = ""
    kind: str = Kind.CUSTOM
    name: str = ""
    count_operator: str = "at_least"
    count: str = "1"
    window: str = "ever"  # ever, last, between
    amount: str = "30"
    unit: str = "day"
    start: str = ""
    end: str = ""
    filters: Annotated[tuple[FilterRow, ...], Rows("f", FilterRow)] = ()


class Group(Struct, frozen=True):
    join: str = "and"
    rows: Annotated[tuple[ConditionRow, ...], Rows("r", ConditionRow, least=1)] = (ConditionRow(),)


class SegmentDraft(Struct, frozen=True):
    """What the editor shows. `json` is not empty when the condition is edited as text."""

    join: str = "and"
    groups: Annotated[tuple[Group, ...], Rows("g", Group, least=1)] = (Group(),)
    json: str = ""
    name: str = ""
    key: str = ""
    description: str = ""


# Control -> what is wrong there.
Problems = dict[str, str]


def read(form: Form) -> SegmentDraft:
    return form_rows.read(form, SegmentDraft)


def to_condition(draft: SegmentDraft, zone: tzinfo) -> tuple[Condition | None, Problems]:
    """The condition, or what is wrong and where."""
    problems: Problems = {}
    if draft.json:
        return _from_json(draft.json, problems), problems
    groups = []
    for index, group in enumerate(draft.groups):
        leaves = []
        for at, row in enumerate(group.rows):
            try:
                leaf = _leaf(row, zone)
                check(leaf)
                leaves.append(leaf)
            except InvalidInput as error:
                problems |= placed(error, WORDING, f"g{index}.r{at}")
        groups.append(_joined(group.join, leaves))
    condition = _joined(draft.join, groups)
    if not problems:
        try:
            check(condition)
        except InvalidInput as error:
            problems["condition"] = str(error)
    return (None if problems else condition), problems


def _from_json(text: str, problems: Problems) -> Condition | None:
    try:
        condition = parse(msgspec.json.decode(text))
        check(condition)
        return condition
    except msgspec.DecodeError as error:
        problems["json"] = f"Condition: this is not JSON: {error}"
    except InvalidInput as error:
        problems["json"] = str(error)
    return None


def _joined(join: str, nodes: list[Condition]) -> Condition:
    if len(nodes) == 1:
        return nodes[0]
    return Or(tuple(nodes)) if join == "or" else And(tuple(nodes))


def _leaf(row: ConditionRow, zone: tzinfo) -> Condition:
    """Raises InvalidInput whose field is the row's control, or its path in the condition."""
    subject = known(row.what, SUBJECTS)
    if subject == "property":
        value, values = value_of(row.operator, row.value)
        return UserProperty(row.key, operator_of(row.operator), value, values)
    filters = tuple(
        PropertyFilter(test.key, operator_of(test.operator), *value_of(test.operator, test.value))
        for test in row.filters
    )
    match = _match(row, filters)
    if match.kind == Kind.CUSTOM and not match.name and not match.defined:
        raise InvalidInput("which event? Type its name, or choose “anything”", field="name")
    if subject == "did_not":
        return Did(match, "exactly", 0, _window(row, zone))
    operator: CountOperator = next(
        (operator for operator in get_args(CountOperator) if operator == row.count_operator), "at_least"
    )
    return Did(match, operator, _whole(row.count, "count"), _window(row, zone))


def _match(row: ConditionRow, filters: tuple[PropertyFilter, ...]) -> EventMatch:
    number = row.kind.removeprefix(DEFINED)
    if row.kind.startswith(DEFINED) and number.isascii() and number.isdigit() and len(number) < 10:
        return EventMatch(filters=filters, defined=int(number))
    return EventMatch(known(row.kind, KINDS), row.name, filters)


def _window(row: ConditionRow, zone: tzinfo) -> Last | Between | None:
    if row.window == "last":
        unit: Unit = next((unit for unit in get_args(Unit) if unit == row.unit), "day")
        return Last(_whole(row.amount, "amount"), unit)
    if row.window == "between":
        start, end = _moment(row.start, zone, "start"), _moment(row.end, zone, "end")
        if start >= end:
            raise InvalidInput("the end must be after the start; put From before it", field="end")
        return Between(start, end)
    return None


def _whole(text: str, field: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise InvalidInput(f"expected a whole number, got {text[:20]!r}", field=field)
    return int(text)


def _moment(text: str, zone: tzinfo, field: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput("choose a date and time", field=field) from error
    at = to_ms(moment.replace(tzinfo=zone) if moment.tzinfo is None else moment)
    if not FIRST_MS <= at <= END_MS:
        raise InvalidInput("choose a date from 1970 to 2100", field=field)
    return at


def from_condition(condition: Condition, zone: tzinfo) -> SegmentDraft:
    """The editor's form of a condition; as JSON when it has more than two levels or a leaf the rows cannot show."""
    join, groups = _parts(condition)
    if all(_is_leaf(group) for group in groups):
        join, outer, groups = "and", join, [condition]
        drafted = [_drafted(outer, _parts(condition)[1], zone)]
    else:
        drafted = [_drafted(*_parts(group), zone) for group in groups]
    drafted_groups = [group for group in drafted if group is not None]
    draft = SegmentDraft(join, tuple(drafted_groups)) if drafted_groups else SegmentDraft()
    kept, _ = to_condition(draft, zone)
    if len(drafted_groups) == len(drafted) and kept is not None and _plain(kept) == _plain(condition):
        return draft
    return SegmentDraft(json=msgspec.json.format(msgspec.json.encode(condition), indent=2).decode())


def _plain(condition: Condition) -> Condition:
    """Without groups of one, which mean nothing."""
    match condition:
        case And(nodes) | Or(nodes) if len(nodes) == 1:
            return _plain(nodes[0])
        case And(nodes):
            return And(tuple(_plain(node) for node in nodes))
        case Or(nodes):
            return Or(tuple(_plain(node) for node in nodes))
        case _:
            return condition


def _is_leaf(condition: Condition) -> bool:
    return isinstance(condition, UserProperty | Did)


def _parts(condition: Condition) -> tuple[str, list[Condition]]:
    match condition:
        case And(nodes):
            return "and", list(nodes)
        case Or(nodes):
            return "or", list(nodes)
        case _:
            return "and", [condition]


def _drafted(join: str, leaves: list[Condition], zone: tzinfo) -> Group | None:
    rows = [_row_of(leaf, zone) for leaf in leaves]
    drafted = [row for row in rows if row is not None]
    return Group(join, tuple(drafted)) if drafted and len(drafted) == len(rows) else None


def _row_of(leaf: Condition, zone: tzinfo) -> ConditionRow | None:
    match leaf:
        case UserProperty():
            return ConditionRow(
                "property", leaf.key, leaf.operator, text_of(leaf.operator, leaf.value, leaf.values)
            )
        case Did():
            filters = tuple(
                FilterRow(test.key, test.operator, text_of(test.operator, test.value, test.values))
                for test in leaf.event.filters
            )
            is_not = leaf.operator == "exactly" and leaf.count == 0
            row = ConditionRow(
                "did_not" if is_not else "did",
                kind=_kind_of(leaf.event),
                name=leaf.event.name,
                count_operator="at_least" if is_not else leaf.operator,
                count="1" if is_not else str(leaf.count),
                filters=filters,
            )
            return _with_window(row, leaf.window, zone)
        case _:
            return None


def _kind_of(event: EventMatch) -> str:
    return f"{DEFINED}{event.defined}" if event.defined else event.kind


def _with_window(row: ConditionRow, window: Last | Between | None, zone: tzinfo) -> ConditionRow | None:
    match window:
        case Last(amount, unit):
            return structs.replace(row, window="last", amount=str(amount), unit=unit)
        case Between(start, end) if start % 1000 == 0 and end % 1000 == 0:
            texts = (from_ms(end_ms).astimezone(zone).strftime(_LOCAL) for end_ms in (start, end))
            return structs.replace(row, window="between", start=next(texts), end=next(texts))
        case Between():
            return None  # the form's fields end at the second
        case None:
            return row

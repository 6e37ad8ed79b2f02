"""The segment editor's form: rows in groups, to and from a condition. Pure.

Two levels are offered, which is what people write: groups of rows, each joined by all or any. A condition that does
not fit (from the API) is edited as JSON instead; nothing is ever simplified silently.
"""

from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import TypeVar, get_args

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
    TextOperator,
    Unit,
    UserProperty,
)
from cairn.errors import InvalidInput
from cairn.event import Kind
from cairn.web.form import Form

OPERATORS: tuple[tuple[str, str], ...] = tuple(
    (operator, describe.OPERATORS[operator]) for operator in get_args(TextOperator)
)
COUNTS: tuple[tuple[str, str], ...] = (
    ("at_least", "at least"), ("at_most", "at most"), ("exactly", "exactly"), ("more_than", "more than"),
    ("less_than", "fewer than"),
)  # fmt: skip
UNITS: tuple[tuple[str, str], ...] = (
    ("minute", "minutes"),
    ("hour", "hours"),
    ("day", "days"),
    ("week", "weeks"),
)
KINDS: tuple[tuple[str, str], ...] = (
    (Kind.CUSTOM, "event"), (Kind.PAGEVIEW, "page view"), (Kind.CLICK, "click"), (Kind.CHANGE, "change"),
    (Kind.SUBMIT, "submit"), (Kind.TOUCH, "touch"), (Kind.SESSION, "session"), (Kind.EXPOSURE, "exposure"),
    ("", "anything"),
)  # fmt: skip
DEFINED = "defined-"  # then a defined event's id, where a kind may stand
WITHOUT_VALUE = ("is_set", "is_not_set")
WITH_LIST = ("in", "not_in")
MAX_ROWS = 100  # the check of conditions refuses more anyway
_LOCAL = "%Y-%m-%dT%H:%M:%S"


class FilterRow(Struct, frozen=True):
    key: str = ""
    operator: str = "is"
    value: str = ""  # of `in`: one a line


class Row(Struct, frozen=True):
    """One line of the editor. Numbers stay text until they are checked, so that a mistake can be shown as typed."""

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
    filters: tuple[FilterRow, ...] = ()


class Group(Struct, frozen=True):
    join: str = "and"
    rows: tuple[Row, ...] = (Row(),)


class Draft(Struct, frozen=True):
    """What the editor shows. `json` is not empty when the condition is edited as text."""

    join: str = "and"
    groups: tuple[Group, ...] = (Group(),)
    json: str = ""


_Item = TypeVar("_Item")
Problems = dict[str, str]  # `g0.r1` -> what is wrong there; `condition` for the whole


def read(form: Form) -> Draft:
    if "json" in form:
        return Draft(json=form("json"))
    groups = tuple(_group(form, f"g{place}") for place in _places(form, "g"))
    return Draft(_either(form("join"), "and", "or"), groups or (Group(),))


def _places(form: Form, prefix: str) -> range:
    """Indexes of the groups, rows or filters that a form names."""
    start = len(prefix)
    found = {name[start:].partition(".")[0] for name, _ in form if name.startswith(prefix)}
    return range(
        min(MAX_ROWS, max((int(each) + 1 for each in found if each.isascii() and each.isdigit()), default=0))
    )


def _group(form: Form, name: str) -> Group:
    rows = tuple(_row(form, f"{name}.r{place}") for place in _places(form, f"{name}.r"))
    return Group(_either(form(f"{name}.join"), "and", "or"), rows or (Row(),))


def _row(form: Form, name: str) -> Row:
    fields = {
        field: form(f"{name}.{field}", getattr(Row(), field))
        for field in Row.__struct_fields__
        if field != "filters"
    }
    filters = (
        FilterRow(
            form.line(f"{name}.f{place}.key"),
            form(f"{name}.f{place}.operator", "is"),
            form(f"{name}.f{place}.value"),
        )
        for place in _places(form, f"{name}.f")
    )
    row = Row(**fields, filters=tuple(filters))
    return structs.replace(row, key=row.key.strip(), what=_either(row.what, "property", "did", "did_not"))


def _either(text: str, *known: str) -> str:
    return text if text in known else known[0]


def change(draft: Draft, action: str) -> Draft:
    """What an editor button does, such as `add-row g0` or `remove-filter g0 r1 f0`; anything else changes nothing."""
    verb, *names = action.split()
    places = [int(name[1:]) for name in names if name[1:].isascii() and name[1:].isdigit()]
    try:
        return _CHANGES[verb](draft, *places) if verb in _CHANGES else draft
    except (IndexError, TypeError):
        return draft


def _with_group(draft: Draft, place: int, group: Group) -> Draft:
    groups = list(draft.groups)
    groups[place] = group
    return structs.replace(draft, groups=tuple(groups))


def _with_row(draft: Draft, place: int, at: int, row: Row) -> Draft:
    rows = list(draft.groups[place].rows)
    rows[at] = row
    return _with_group(draft, place, structs.replace(draft.groups[place], rows=tuple(rows)))


def _without(rows: tuple[_Item, ...], at: int) -> tuple[_Item, ...]:
    return rows[:at] + rows[at + 1 :]


def _add_row(draft: Draft, place: int) -> Draft:
    group = draft.groups[place]
    return _with_group(draft, place, structs.replace(group, rows=(*group.rows, Row())))


def _remove_row(draft: Draft, place: int, at: int) -> Draft:
    group = draft.groups[place]
    left = _without(group.rows, at)
    if left:
        return _with_group(draft, place, structs.replace(group, rows=left))
    return _remove_group(draft, place)


def _add_group(draft: Draft) -> Draft:
    return structs.replace(draft, groups=(*draft.groups, Group()))


def _remove_group(draft: Draft, place: int) -> Draft:
    return structs.replace(draft, groups=_without(draft.groups, place) or (Group(),))


def _add_filter(draft: Draft, place: int, at: int) -> Draft:
    row = draft.groups[place].rows[at]
    return _with_row(draft, place, at, structs.replace(row, filters=(*row.filters, FilterRow())))


def _remove_filter(draft: Draft, place: int, at: int, filter_at: int) -> Draft:
    row = draft.groups[place].rows[at]
    return _with_row(draft, place, at, structs.replace(row, filters=_without(row.filters, filter_at)))


_CHANGES: dict[str, Callable[..., Draft]] = {
    "add-row": _add_row, "remove-row": _remove_row, "add-group": _add_group, "remove-group": _remove_group,
    "add-filter": _add_filter, "remove-filter": _remove_filter,
}  # fmt: skip


def to_condition(draft: Draft, zone: tzinfo) -> tuple[Condition | None, Problems]:
    """The condition, or what is wrong and where."""
    problems: Problems = {}
    if draft.json:
        return _from_json(draft.json, problems), problems
    groups = []
    for place, group in enumerate(draft.groups):
        leaves = []
        for at, row in enumerate(group.rows):
            try:
                leaf = _leaf(row, zone)
                check(leaf)
                leaves.append(leaf)
            except InvalidInput as error:
                problems[f"g{place}.r{at}"] = str(error).removeprefix("condition.").removeprefix("condition ")
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
        problems["condition"] = f"This is not JSON: {error}"
    except InvalidInput as error:
        problems["condition"] = str(error)
    return None


def _joined(join: str, nodes: list[Condition]) -> Condition:
    if len(nodes) == 1:
        return nodes[0]
    return And(tuple(nodes)) if join == "and" else Or(tuple(nodes))


def _leaf(row: Row, zone: tzinfo) -> Condition:
    if row.what == "property":
        value, values = _value(row.operator, row.value)
        return UserProperty(row.key, _operator(row.operator), value, values)
    filters = tuple(
        PropertyFilter(each.key, _operator(each.operator), *_value(each.operator, each.value))
        for each in row.filters
    )
    match = _match(row, filters)
    if match.kind == Kind.CUSTOM and not match.name and not match.defined:
        raise InvalidInput("which event? Type its name, or choose “anything”", field="name")
    if row.what == "did_not":
        return Did(match, "exactly", 0, _window(row, zone))
    operator: CountOperator = next(
        (each for each in get_args(CountOperator) if each == row.count_operator), "at_least"
    )
    return Did(match, operator, _whole(row.count, "count"), _window(row, zone))


def _match(row: Row, filters: tuple[PropertyFilter, ...]) -> EventMatch:
    number = row.kind.removeprefix(DEFINED)
    if row.kind.startswith(DEFINED) and number.isascii() and number.isdigit() and len(number) < 10:
        return EventMatch(filters=filters, defined=int(number))
    return EventMatch(row.kind if row.kind in dict(KINDS) else Kind.CUSTOM, row.name.strip(), filters)


def _operator(text: str) -> TextOperator:
    return next((each for each in get_args(TextOperator) if each == text), "is")


def _value(operator: str, value: str) -> tuple[str, tuple[str, ...]]:
    if operator in WITHOUT_VALUE:
        return "", ()
    if operator in WITH_LIST:
        return "", tuple(dict.fromkeys(line.strip() for line in value.splitlines() if line.strip()))
    return value, ()


def _window(row: Row, zone: tzinfo) -> Last | Between | None:
    if row.window == "last":
        unit: Unit = next((each for each in get_args(Unit) if each == row.unit), "day")
        return Last(_whole(row.amount, "window"), unit)
    if row.window == "between":
        return Between(_moment(row.start, zone, "from"), _moment(row.end, zone, "until"))
    return None


def _whole(text: str, field: str) -> int:
    if not (text.strip().isascii() and text.strip().isdigit() and len(text.strip()) < 12):
        raise InvalidInput(f"{field}: expected a whole number, got {text[:20]!r}", field=field)
    return int(text)


def _moment(text: str, zone: tzinfo, field: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"{field}: choose a date and time", field=field) from error
    return to_ms(moment.replace(tzinfo=zone) if moment.tzinfo is None else moment)


def from_condition(condition: Condition, zone: tzinfo) -> Draft:
    """The editor's form of a condition; as JSON when it has more than two levels or a leaf the rows cannot show."""
    join, groups = _parts(condition)
    if all(_is_leaf(each) for each in groups):
        join, outer, groups = "and", join, [condition]
        drafted = [_drafted(outer, _parts(condition)[1], zone)]
    else:
        drafted = [_drafted(*_parts(each), zone) for each in groups]
    found = [each for each in drafted if each is not None]
    draft = Draft(join, tuple(found)) if found else Draft()
    kept, _ = to_condition(draft, zone)
    if len(found) == len(drafted) and kept is not None and _plain(kept) == _plain(condition):
        return draft
    return Draft(json=msgspec.json.format(msgspec.json.encode(condition), indent=2).decode())


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
    known = [row for row in rows if row is not None]
    return Group(join, tuple(known)) if known and len(known) == len(rows) else None


def _row_of(leaf: Condition, zone: tzinfo) -> Row | None:
    match leaf:
        case UserProperty():
            return Row("property", leaf.key, leaf.operator, _typed(leaf))
        case Did():
            filters = tuple(FilterRow(each.key, each.operator, _typed(each)) for each in leaf.event.filters)
            is_not = leaf.operator == "exactly" and leaf.count == 0
            row = Row(
                "did_not" if is_not else "did", kind=_kind_of(leaf.event), name=leaf.event.name,
                count_operator="at_least" if is_not else leaf.operator, count="1" if is_not else str(leaf.count),
                filters=filters,
            )  # fmt: skip
            return _with_window(row, leaf.window, zone)
        case _:
            return None


def _kind_of(event: EventMatch) -> str:
    return f"{DEFINED}{event.defined}" if event.defined else event.kind


def _typed(leaf: UserProperty | PropertyFilter) -> str:
    return "\n".join(leaf.values) if leaf.operator in WITH_LIST else leaf.value


def _with_window(row: Row, window: Last | Between | None, zone: tzinfo) -> Row | None:
    match window:
        case Last(amount, unit):
            return structs.replace(row, window="last", amount=str(amount), unit=unit)
        case Between(start, end) if start % 1000 == 0 and end % 1000 == 0:
            texts = (from_ms(each).astimezone(zone).strftime(_LOCAL) for each in (start, end))
            return structs.replace(row, window="between", start=next(texts), end=next(texts))
        case Between():
            return None  # the form's fields end at the second
        case None:
            return row

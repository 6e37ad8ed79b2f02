"""Rows of an editor: read from a form, added and removed. Pure.

An editor's draft is a Struct of texts, and of rows that are Structs again. A row's controls are named by their path,
such as `g0.r1.key`: `Rows` gives each kind of row its letter. Numbers stay text until they are checked, so that a
mistake is shown as typed.
"""

import re
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin

from msgspec import Struct, structs

from cairn.web.form import Form

MOST = 100
# As typed, blanks included; every other text is trimmed.
AS_TYPED = frozenset({"value", "json"})
_STEP = re.compile(r"([a-z])(\d{0,3})")

DraftT = TypeVar("DraftT", bound=Struct)
RowT = TypeVar("RowT", bound=Struct)


class Rows(Struct, frozen=True):
    """What stands in `Annotated` at a field of rows."""

    letter: str
    kind: type[Struct]
    # Fewer are filled up at the top, and take the row they stand in with them below.
    least: int = 0
    most: int = MOST


def read(form: Form, kind: type[DraftT], at: str = "") -> DraftT:
    """What a form sent. What it does not name has its default."""
    prefix = f"{at}." if at else ""
    rows = _rows_of(kind)
    values: dict[str, object] = {}
    for field in structs.fields(kind):
        if field.name in rows:
            values[field.name] = _read_rows(form, rows[field.name], prefix)
        elif field.type is str:
            text = form(prefix + field.name, field.default)
            values[field.name] = text if field.name in AS_TYPED else text.strip()
    return kind(**values)


def _read_rows(form: Form, rows: Rows, prefix: str) -> tuple[Struct, ...]:
    start = prefix + rows.letter
    numbers = indexes(form, start)[: rows.most]
    read_rows = tuple(read(form, rows.kind, f"{start}{number}") for number in numbers)
    return read_rows + tuple(rows.kind() for _ in range(rows.least - len(read_rows)))


def indexes(form: Form, start: str) -> list[int]:
    """The numbers that follow `start` in the names of a form, in order."""
    numbers = {name[len(start) :].partition(".")[0] for name, _ in form if name.startswith(start)}
    return sorted(
        int(number) for number in numbers if number.isascii() and number.isdigit() and len(number) < 4
    )


def change(draft: DraftT, action: str) -> DraftT:
    """What a button does: `add g0.r`, `remove g0.r1.f0`; anything else changes nothing."""
    verb, _, path = action.partition(" ")
    steps = [_STEP.fullmatch(step) for step in path.split(".")]
    if verb not in ("add", "remove") or not all(steps):
        return draft
    try:
        return _filled(_changed(draft, [step.groups() for step in steps if step], verb))
    except (KeyError, IndexError, ValueError):
        return draft


def _changed(row: RowT, steps: list[tuple[str, ...]], verb: str) -> RowT:
    (letter, number), *rest = steps
    name, rows = {rows.letter: (name, rows) for name, rows in _rows_of(type(row)).items()}[letter]
    items = list(getattr(row, name))
    if rest:
        items[int(number)] = _changed(items[int(number)], rest, verb)
        items = [item for item in items if not _is_hollow(item)]
    elif verb == "remove":
        del items[int(number)]
    elif len(items) < rows.most:
        items.append(rows.kind())
    return structs.replace(row, **{name: tuple(items)})


def _is_hollow(row: Struct) -> bool:
    return any(len(getattr(row, name)) < rows.least for name, rows in _rows_of(type(row)).items())


def _filled(draft: DraftT) -> DraftT:
    missing = {
        name: (*getattr(draft, name), *(rows.kind() for _ in range(rows.least - len(getattr(draft, name)))))
        for name, rows in _rows_of(type(draft)).items()
    }
    return structs.replace(draft, **missing)


@cache
def _rows_of(kind: type[Struct]) -> dict[str, Rows]:
    """The fields of a draft or row that are rows."""
    rows: dict[str, Rows] = {}
    for field in structs.fields(kind):
        notes: tuple[Any, ...] = get_args(field.type)[1:] if get_origin(field.type) is Annotated else ()
        for note in notes:
            if isinstance(note, Rows):
                rows[field.name] = note
    return rows

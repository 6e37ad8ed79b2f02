"""The defined event editor's form: parts with tests, to and from a definition. Pure."""

import re
from typing import get_args

from msgspec import Struct, structs

from cairn.conditions.tree import PropertyFilter, TextOperator
from cairn.definitions.model import ELEMENT_KEYS, Definition, Part, PartKind, check_definition
from cairn.errors import InvalidInput
from cairn.event import FACTS, Element
from cairn.web.form import Form
from cairn.web.segment_form import OPERATORS, WITH_LIST, WITHOUT_VALUE

__all__ = ["KEYS", "KINDS", "OPERATORS", "WITHOUT_VALUE", "WITH_LIST"]

KINDS: tuple[tuple[str, str], ...] = (
    ("click", "click"), ("change", "change"), ("submit", "submit"), ("touch", "touch"), ("pageview", "page view"),
    ("view", "screen view"), ("custom", "custom event"), ("any", "anything"),
)  # fmt: skip
KEYS: tuple[str, ...] = (*ELEMENT_KEYS, *FACTS)  # offered; any property's name is accepted
MAX_ROWS = 20
_STEADY_ATTRIBUTES = ("data-testid", "data-test", "data-qa", "data-cy")
_IDENTIFIER = re.compile(r"[A-Za-z_][\w-]*")  # of CSS, without those that need escaping


class TestRow(Struct, frozen=True):
    key: str = ""
    operator: str = "is"
    value: str = ""  # of `in`: one a line


class PartRow(Struct, frozen=True):
    kind: str = "click"
    name: str = ""
    selector: str = ""
    tests: tuple[TestRow, ...] = ()


class Draft(Struct, frozen=True):
    """What the editor shows."""

    parts: tuple[PartRow, ...] = (PartRow(),)
    events: tuple[int, ...] = ()  # of a combo


def begun(kind: str, name: str, selector: str, text: str) -> Draft:
    """What the editor starts with when an address says so."""
    if name:
        return Draft((PartRow("custom", name),))
    if not kind and not selector:
        return Draft()
    tests = (TestRow("text", "is", text),) if text else ()
    return Draft((PartRow(kind if kind in dict(KINDS) else "click", "", selector, tests),))


def begun_with(element: Element) -> dict[str, str]:
    """A selector of the element itself, and its text where it stands on something to press."""
    attribute = next((key for key in _STEADY_ATTRIBUTES if element.attributes.get(key)), "")
    if attribute:
        return {"selector": f'[{attribute}="{_quoted(element.attributes[attribute])}"]'}
    if element.dom_id:
        return {"selector": f'[id="{_quoted(element.dom_id)}"]'}
    classes = "".join(f".{name}" for name in element.classes.split() if _IDENTIFIER.fullmatch(name))
    tag = element.tag if _IDENTIFIER.fullmatch(element.tag) else ""
    return {"selector": tag + classes or "*", **({"text": element.text} if element.text else {})}


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def read(form: Form) -> Draft:
    parts = tuple(_part(form, f"p{place}") for place in range(MAX_ROWS) if f"p{place}.kind" in form)
    chosen = (value for name, value in form if name == "event")
    events = tuple(int(each) for each in chosen if each.isascii() and each.isdigit() and len(each) < 10)
    return Draft(parts or (() if events else (PartRow(),)), tuple(dict.fromkeys(events)))


def _part(form: Form, name: str) -> PartRow:
    tests = (f"{name}.t{place}" for place in range(MAX_ROWS) if f"{name}.t{place}.key" in form)
    rows = tuple(
        TestRow(form.line(f"{at}.key"), form(f"{at}.operator", "is"), form(f"{at}.value")) for at in tests
    )
    kind = form(f"{name}.kind")
    return PartRow(
        kind if kind in dict(KINDS) else "click",
        form.line(f"{name}.name"),
        form.line(f"{name}.selector"),
        rows,
    )


def change(draft: Draft, action: str) -> Draft:
    """What a button does: `add-part`, `remove-part 0`, `add-test 0`, `remove-test 0 1`; anything else nothing."""
    verb, *numbers = action.split()
    at = [int(each) for each in numbers if each.isascii() and each.isdigit() and len(each) < 3]
    parts = list(draft.parts)
    if verb == "add-part" and len(parts) < MAX_ROWS:
        return structs.replace(draft, parts=(*parts, PartRow()))
    if not at or at[0] >= len(parts):
        return draft
    tests = parts[at[0]].tests
    if verb == "remove-part":
        del parts[at[0]]
    elif verb == "add-test" and len(tests) < MAX_ROWS:
        parts[at[0]] = structs.replace(parts[at[0]], tests=(*tests, TestRow()))
    elif verb == "remove-test" and len(at) == 2:
        parts[at[0]] = structs.replace(parts[at[0]], tests=tests[: at[1]] + tests[at[1] + 1 :])
    return structs.replace(draft, parts=tuple(parts))


def to_definition(draft: Draft) -> Definition:
    """Raises InvalidInput whose field is `definition.parts[0].selector` and the like."""
    definition = Definition(tuple(_meant(row) for row in draft.parts), draft.events)
    check_definition(definition)
    return definition


def _meant(row: PartRow) -> Part:
    kind: PartKind = next((each for each in get_args(PartKind) if each == row.kind), "click")
    on_element = kind not in ("pageview", "view", "custom")
    return Part(
        kind,
        row.name if kind == "custom" else "",
        row.selector if on_element else "",  # a field that the chosen kind does not show
        tuple(_test(each) for each in row.tests),
    )


def _test(row: TestRow) -> PropertyFilter:
    operator: TextOperator = next((each for each in get_args(TextOperator) if each == row.operator), "is")
    if operator in WITH_LIST:
        lines = (line.strip() for line in row.value.splitlines())
        return PropertyFilter(row.key, operator, values=tuple(dict.fromkeys(line for line in lines if line)))
    return PropertyFilter(row.key, operator, "" if operator in WITHOUT_VALUE else row.value)


def from_definition(definition: Definition) -> Draft:
    parts = (
        PartRow(
            part.kind,
            part.name,
            part.selector,
            tuple(
                TestRow(test.key, test.operator, "\n".join(test.values) or test.value) for test in part.tests
            ),
        )
        for part in definition.parts
    )
    return Draft(tuple(parts), definition.events)


def place_of(error: InvalidInput | None) -> int | None:
    """The part an error is about, by its number; None for none."""
    field = error.field if error is not None else ""
    text = field.removeprefix("definition.parts[").partition("]")[0]
    return int(text) if field.startswith("definition.parts[") and text.isdigit() else None

"""The defined event editor's form: parts with tests, to and from a definition. Pure."""

import re
from typing import Annotated, get_args

from msgspec import Struct, structs

from cairn.conditions.tree import PropertyFilter
from cairn.definitions.model import ELEMENT_KEYS, DefinedEvent, Definition, Part, PartKind, check_definition
from cairn.event import FACTS, Element
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
from cairn.web.editor.refusal import Wording
from cairn.web.form import Form

__all__ = ["KEYS", "KINDS", "OPERATORS", "WITHOUT_VALUE", "WITH_LIST"]

KINDS: Choices = (
    ("click", "click"),
    ("change", "change"),
    ("submit", "submit"),
    ("touch", "touch"),
    ("pageview", "page view"),
    ("view", "screen view"),
    ("custom", "custom event"),
    ("any", "anything"),
)
KEYS: tuple[str, ...] = (*ELEMENT_KEYS, *FACTS)  # offered; any property's name is accepted
MAX_ROWS = 20
WORDING = Wording(
    {
        "name": "Name",
        "category": "Category",
        "description": "Description",
        ".selector": "CSS selector",
        ".name": "Name of the custom event",
        ".key": "What is tested",
        ".operator": "Operator",
        ".value": "Value",
        ".tests": "Tests",
        "parts": "What counts",
        "events": "Defined events",
    }
)
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
    tests: Annotated[tuple[TestRow, ...], Rows("t", TestRow, most=MAX_ROWS)] = ()


class DefinedEventDraft(Struct, frozen=True):
    """What the editor shows."""

    parts: Annotated[tuple[PartRow, ...], Rows("p", PartRow, most=MAX_ROWS)] = (PartRow(),)
    events: tuple[int, ...] = ()  # of a combo
    name: str = ""
    category: str = ""
    description: str = ""
    verified: str = ""


def begun(kind: str, name: str, selector: str, text: str) -> DefinedEventDraft:
    """What the editor starts with, from the values of an address."""
    if name:
        return DefinedEventDraft((PartRow("custom", name),), name=name)
    if not kind and not selector:
        return DefinedEventDraft()
    tests = (TestRow("text", "is", text),) if text else ()
    return DefinedEventDraft((PartRow(known(kind, KINDS), "", selector, tests),))


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


def read(form: Form) -> DefinedEventDraft:
    chosen = (value for name, value in form if name == "event")
    numbers = (int(text) for text in chosen if text.isascii() and text.isdigit() and len(text) < 10)
    draft = structs.replace(form_rows.read(form, DefinedEventDraft), events=tuple(dict.fromkeys(numbers)))
    return draft if draft.parts or draft.events else structs.replace(draft, parts=(PartRow(),))


def to_definition(draft: DefinedEventDraft) -> Definition:
    """Raises InvalidInput whose field is `definition.parts[0].selector` and the like."""
    definition = Definition(tuple(_meant(row) for row in draft.parts), draft.events)
    check_definition(definition)
    return definition


def _meant(row: PartRow) -> Part:
    kind: PartKind = next((kind for kind in get_args(PartKind) if kind == row.kind), "click")
    on_element = kind not in ("pageview", "view", "custom")
    return Part(
        kind,
        row.name if kind == "custom" else "",
        row.selector if on_element else "",  # a field that the chosen kind does not show
        tuple(_test(test) for test in row.tests),
    )


def _test(row: TestRow) -> PropertyFilter:
    return PropertyFilter(row.key, operator_of(row.operator), *value_of(row.operator, row.value))


def draft_of(event: DefinedEvent) -> DefinedEventDraft:
    parts = tuple(
        PartRow(
            part.kind,
            part.name,
            part.selector,
            tuple(
                TestRow(test.key, test.operator, text_of(test.operator, test.value, test.values))
                for test in part.tests
            ),
        )
        for part in event.definition.parts
    )
    return DefinedEventDraft(
        parts,
        event.definition.events,
        event.name,
        event.category,
        event.description,
        "1" if event.verified else "",
    )

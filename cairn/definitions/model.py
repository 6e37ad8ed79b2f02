"""What a defined event is made of, and what a definition must look like before it is kept. Pure."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from cairn.conditions.check import check_filter
from cairn.conditions.tree import PropertyFilter
from cairn.definitions.selector import read_selector
from cairn.errors import InvalidInput
from cairn.event import Kind
from cairn.ids import RowId

MAX_PARTS, MAX_EVENTS, MAX_TESTS = 20, 50, 20  # of one definition; each is a piece of every question about it
MAX_NAME = 1_024  # characters of a custom event's name (contracts/heap.md, section 6)

State = Literal["active", "archived"]
PartKind = Literal["any", "pageview", "view", "click", "change", "submit", "touch", "custom"]
ON_ELEMENTS = frozenset(
    {"any", Kind.CLICK, Kind.CHANGE, Kind.SUBMIT, Kind.TOUCH}
)  # kinds that are done to something
# Tests of these keys ask about the element, where the kind has one; of all others about facts and properties.
ELEMENT_KEYS = ("text", "href", "label", "tag", "dom_id", "classes")


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """One way to be this event: everything said here holds."""

    kind: PartKind = "click"
    name: str = ""  # of a custom event; empty: any name
    selector: str = ""  # CSS; empty: whatever element
    # text, href, label, tag, dom_id and classes are the element's; others facts (path, domain, title, …) or properties
    tests: tuple[PropertyFilter, ...] = ()


class Definition(Struct, frozen=True, forbid_unknown_fields=True):
    """What counts: any of the parts, or any of these defined events (a combo)."""

    parts: tuple[Part, ...] = ()
    events: tuple[RowId, ...] = ()


class NewDefinedEvent(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    definition: Definition
    category: str = ""
    description: str = ""
    verified: bool = False


class DefinedEvent(Struct, frozen=True):
    id: int
    workspace_id: int
    project_id: int
    name: str
    category: str
    description: str
    definition: Definition
    version: int  # rises with every change of the definition
    state: State
    verified: bool
    created_by: str  # a member's e-mail or a token's name; empty: made with the workspace
    created_at: datetime
    updated_at: datetime
    unreadable: str = ""  # why the stored definition cannot be read, so that nothing counts; empty: it can

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(part.kind for part in self.definition.parts)) or ("combo",)


class Changes(Struct, frozen=True):
    """What is None stays."""

    name: str | None = None
    category: str | None = None
    description: str | None = None
    definition: Definition | None = None
    verified: bool | None = None


def check_definition(definition: Definition) -> None:
    """Raises InvalidInput naming the first field that is wrong."""
    if not definition.parts and not definition.events:
        raise _refused("definition.parts", "is empty; say what counts, or name other defined events")
    if len(definition.parts) > MAX_PARTS:
        raise _refused(
            "definition.parts", f"has {len(definition.parts)} parts, at most {MAX_PARTS} are accepted"
        )
    if len(definition.events) > MAX_EVENTS:
        raise _refused(
            "definition.events", f"names {len(definition.events)} events, at most {MAX_EVENTS} are accepted"
        )
    for index, part in enumerate(definition.parts):
        _check_part(part, f"definition.parts[{index}]")


def _check_part(part: Part, path: str) -> None:
    if part.name and part.kind != Kind.CUSTOM:
        raise _refused(
            f"{path}.name",
            f"only custom events have names; a {part.kind} is matched by its selector or tests",
        )
    if len(part.name) > MAX_NAME:
        raise _refused(f"{path}.name", f"has {len(part.name)} characters, at most {MAX_NAME} are accepted")
    if part.selector:
        if part.kind not in ON_ELEMENTS:
            raise _refused(
                f"{path}.selector", f"a {part.kind} is not done to an element; leave the selector out"
            )
        read_selector(part.selector, field=f"{path}.selector")
    if len(part.tests) > MAX_TESTS:
        raise _refused(f"{path}.tests", f"has {len(part.tests)} tests, at most {MAX_TESTS} are accepted")
    for at, test in enumerate(part.tests):
        check_filter(test, f"{path}.tests[{at}]")


def _refused(field: str, what: str) -> InvalidInput:
    return InvalidInput(f"{field} {what}", field=field)

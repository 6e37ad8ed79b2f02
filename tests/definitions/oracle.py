"""What a defined event means, said once more in plain Python: slow, obvious, sharing no code with the compiler.

Only selectors are not said twice; they have Chromium for an oracle (test_selector.py).
"""

from collections.abc import Mapping

from cairn.conditions.tree import EventMatch, PropertyFilter
from cairn.definitions.model import Definition, Part
from cairn.definitions.selector import read_selector
from cairn.event import FACTS, Draft, Element
from cairn.store.arrow_tables import text_of
from tests.segments.oracle import value_holds

ON_ELEMENTS = ("any", "click", "change", "submit", "touch")
OF_ELEMENT = ("text", "href", "label", "tag", "dom_id", "classes")


def is_defined(
    draft: Draft, definition: Definition, filters: tuple[PropertyFilter, ...], known: Mapping[int, Definition]
) -> bool:
    parts = [*definition.parts, *(part for member in definition.events for part in known[member].parts)]
    return any(is_part(draft, part, filters) for part in parts)


def is_part(draft: Draft, part: Part, filters: tuple[PropertyFilter, ...] = ()) -> bool:
    if part.kind == "any" and draft.kind in ("identify", "exposure"):
        return False
    if part.kind not in ("any", draft.kind) or (part.name and draft.name != part.name):
        return False
    if part.selector and (draft.element is None or not read_selector(part.selector).matches(draft.element)):
        return False
    has_element = part.kind in ON_ELEMENTS
    return all(value_holds(fact(draft, one.key, has_element), one) for one in (*part.tests, *filters))


def fact(draft: Draft, key: str, has_element: bool) -> str | None:
    if has_element and key in OF_ELEMENT:
        return getattr(draft.element or Element(), key) or None
    if key in ("source", "library"):
        return getattr(draft, key) or None
    if key in FACTS and draft.facts.get(key):
        return draft.facts[key]
    return text_of(draft.properties[key]) if key in draft.properties else None


def counts(draft: Draft, event: EventMatch, known: Mapping[int, Definition]) -> bool:
    return is_defined(draft, known[event.defined], event.filters, known)

"""Cutting a list into pages. The cursor is the last key of a page, so what comes in meanwhile moves nothing."""

import base64
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from cairn.api.endpoint import Page
from cairn.errors import InvalidInput

_Item = TypeVar("_Item")


def page_of(
    items: Sequence[_Item], page: Page, *, key: Callable[[_Item], tuple[str | int, ...]]
) -> tuple[list[_Item], str | None]:
    """The items of a page in the order of their keys, and the cursor of the rest. Raises InvalidInput."""
    ordered = sorted(items, key=key)
    if page.after:
        kind: Any = tuple[tuple(type(part) for part in key(ordered[0]))] if ordered else Any  # type: ignore[misc]
        last = read_cursor(page.after, kind)
        ordered = [item for item in ordered if key(item) > last]
    shown = ordered[: page.limit]
    return shown, write_cursor(key(shown[-1])) if len(ordered) > len(shown) else None


def write_cursor(last: Any) -> str:
    """Any value as text that goes into an address and means nothing to its reader."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(last)).decode().rstrip("=")


def read_cursor(text: str, kind: Any) -> Any:
    """Raises InvalidInput when it is not a cursor of this list."""
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return msgspec.msgpack.decode(packed, type=kind)
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput(
            "after: not a cursor of this list; send the `next` of an answer", field="after"
        ) from error

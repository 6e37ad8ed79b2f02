"""The hundred of a long list that a page shows, with how many there are besides. Pure.

A member who may make one thing may make thousands, so no page grows with what was made.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct

PAGE = 100
# What one can choose from in a form; a few such lists stand in an editor.
MOST_CHOICES = 300

Item = TypeVar("Item")


class Portion(Struct, Generic[Item], frozen=True):
    """`parameter` names the start in addresses."""

    items: Sequence[Item]
    start: int  # how many lie before
    total: int
    parameter: str = "from"

    @property
    def more(self) -> int:
        """After the last that is shown."""
        return self.total - self.start - len(self.items)

    @property
    def next(self) -> int:
        """Where the next one starts; 0: this is the last."""
        return self.start + len(self.items) if self.more > 0 else 0


def portion(
    items: Sequence[Item], start: str = "", *, parameter: str = "from", size: int = PAGE
) -> Portion[Item]:
    """`start`: as the address has it; anything else means the beginning."""
    first = int(start) if start.isascii() and start.isdigit() and len(start) < 10 else 0
    first = first if first < len(items) else 0
    return Portion(items[first : first + size], first, len(items), parameter)


def choices(
    options: Sequence[tuple[Any, str]], chosen: Iterable[object] = (), *, most: int = MOST_CHOICES
) -> list[tuple[Any, str]]:
    """(value, text) to choose from: the first ones, and every chosen one wherever it stands. Any: whatever prints."""
    if len(options) <= most:
        return list(options)
    chosen_values = {str(value) for value in chosen}
    return [*options[:most], *(choice for choice in options[most:] if str(choice[0]) in chosen_values)]


def left_out(options: Sequence[object] | Mapping[Any, Any], *, most: int = MOST_CHOICES) -> int:
    """How many `choices` leaves out at most."""
    return max(0, len(options) - most)

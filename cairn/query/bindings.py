"""The parameters of one statement: whatever a person wrote is bound, never part of the text. Pure."""

from datetime import datetime
from typing import Any

from cairn.clock import from_ms

# 1970 to 2100, what the store's times are sure to hold; beyond, its days would wrap around. Epoch milliseconds.
FIRST_MS, END_MS = 0, 4_102_444_800_000
# Longer sets go through a subquery: `IN` parses an array parameter in more than linear time.
SMALL_SET = 1_000
# Limits numbers to what the store's integers hold; no count reaches it.
MOST = 2**62


class Bindings:
    """Each value once. Names start with `bound_`, so that callers may add their own."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}  # Any: the columns' own types
        self._names: dict[tuple[str, object], str] = {}

    def bind(self, value: object, kind: str) -> str:
        """`kind`: the engine's type. A tuple becomes an array."""
        name = self._names.setdefault((kind, value), f"bound_{len(self.values)}")
        self.values[name] = list(value) if isinstance(value, tuple) else value
        return f"{{{name}:{kind}}}"

    def text(self, value: str) -> str:
        return self.bind(value, "String")

    def whole(self, number: int) -> str:
        return self.bind(max(-MOST, min(number, MOST)), "Int64")

    def moment(self, ms: int) -> str:
        """A time, moved to the nearest one that the store's times are sure to hold.

        Bound as what it is, not as a number to be converted: the engine reads every function of a text again.
        """
        return self.bind(
            _at(ms).isoformat(" ", "milliseconds").removesuffix("+00:00"), "DateTime64(3, 'UTC')"
        )

    def day(self, ms: int) -> str:
        """The UTC day of a moment."""
        return self.bind(_at(ms).date().isoformat(), "Date")

    def contains(self, expression: str, values: tuple[int, ...] | tuple[str, ...], kind: str) -> str:
        """A boolean: is the expression one of the values?"""
        array = self.bind(values, f"Array({kind})")
        return f"{expression} IN " + (array if len(values) <= SMALL_SET else f"(SELECT arrayJoin({array}))")


def _at(ms: int) -> datetime:
    return from_ms(max(FIRST_MS, min(ms, END_MS)))

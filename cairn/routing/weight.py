"""How much JSON a value is, found without writing it: parts that stand in it several times count each time. Pure.

Rules copy by reference, so what takes no memory here can be gigabytes once it is written.
"""

from typing import Any

# Of a scalar, and of what is written around a name or an item: bytes.
_SCALAR, _AROUND = 8, 4


def is_heavier(value: Any, most: int, levels: int) -> bool:  # Any: foreign JSON
    """Whether a value is more than about `most` bytes, or nested deeper. Never looks at more than that."""
    weight = 0
    left = [(value, 0)]
    while left:
        item, level = left.pop()
        if isinstance(item, dict):
            weight += sum(map(len, item)) + _AROUND * len(item)
            left += [(inner, level + 1) for inner in item.values()]
        elif isinstance(item, list):
            weight += _AROUND * len(item)
            left += [(inner, level + 1) for inner in item]
        else:
            weight += len(item) if isinstance(item, str) else _SCALAR
        if weight > most or level > levels:
            return True
    return False

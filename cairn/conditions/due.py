"""When the passing of time alone can change the answer of a counting condition. Pure.

In a rolling window the count only falls while nothing happens, so an answer changes at most where the count passes one
of its `boundaries`: "at least 3" ends when the third newest event leaves the window, "exactly 2" begins when the third
newest leaves and ends when the second newest does.
"""

from cairn.conditions.tree import CountOperator

NEVER_MS = 2**62  # epoch milliseconds that never come


def boundaries(operator: CountOperator, count: int) -> tuple[int, ...]:
    """The counts at whose loss the answer changes, highest first: it differs between m and m - 1."""
    found = {
        "at_least": (count,),
        "more_than": (count + 1,),
        "at_most": (count + 1,),
        "less_than": (count,),
        "exactly": (count + 1, count),
    }[operator]
    return tuple(boundary for boundary in found if boundary > 0)

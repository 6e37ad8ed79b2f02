"""Calendar days in the store's SQL."""

from cairn.calendar import Days


def start_of_day(days: Days, time_ms: str = "toUnixTimestamp64Milli(time)") -> str:
    """The beginning of the day that a time lies in, which must not be before the first. Units: epoch milliseconds.

    The store is given the beginnings, so that its copy of the time zones does not have to agree with ours. `roundDown`
    finds one among them by halving.
    """
    return f"roundDown({time_ms}, {list(days.starts_ms)!r})"

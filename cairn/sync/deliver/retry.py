"""How long to wait before sending again what was not accepted. Pure."""

from datetime import timedelta

FIRST_S = 1.0
LONGEST_S = 300.0
LONGEST_WAIT = timedelta(hours=1)  # whatever Retry-After says


def retry_s(attempts: int, asked_s: float | None, chance: float, *, longest_s: float = LONGEST_S) -> float:
    """Seconds until the next attempt, after so many. `asked_s`: what the target said, if it did.

    `chance`: 0 to 1, so that not all come at once.
    """
    if asked_s is not None:
        return max(asked_s, 0.1)
    return min(FIRST_S * 2.0 ** min(attempts - 1, 20), longest_s) * (0.5 + chance / 2)

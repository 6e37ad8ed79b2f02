"""What another side says of a call that it did not take, and how long its next attempt waits. Pure."""

import re
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from cairn.http_client.call import Answer

FIRST_S = 1.0
LONGEST_S = 300.0
LONGEST_WAIT = timedelta(hours=1)  # whatever Retry-After says
_SHOWN = 300  # characters of an answer's body that people are shown


def retry_s(attempts: int, asked_s: float | None, chance: float, *, longest_s: float = LONGEST_S) -> float:
    """Seconds until the next attempt, after so many. `asked_s`: what the other side said, if it did.

    `chance`: 0 to 1, so that not all come at once.
    """
    if asked_s is not None:
        return max(asked_s, 0.1)
    return min(FIRST_S * 2.0 ** min(attempts - 1, 20), longest_s) * (0.5 + chance / 2)


def retry_after_s(header: str, now: datetime) -> float | None:
    """Seconds, from the header's digits or date; None where it says nothing that can be read."""
    text = header.strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(float(text), LONGEST_WAIT.total_seconds())
    try:
        wait_s = (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wait_s, 0.0), LONGEST_WAIT.total_seconds())


def said(answer: Answer) -> str:
    """For people: the status, and what the other side wrote about it."""
    text = " ".join(answer.body[: _SHOWN * 4].decode("utf-8", "replace").split())[:_SHOWN]
    return f"answered {answer.status}" + (f": {text}" if text else "")

"""What a destination's answer means, unless the destination knows better. Pure."""

import re
from datetime import datetime
from email.utils import parsedate_to_datetime

from cairn.http_client import Answer
from cairn.routing.destination import Verdict

LONGEST_WAIT_S = 3600.0  # whatever Retry-After says
_SHOWN = 300  # characters of an answer's body that people are shown
# Too slow, locked, too many: the same request may succeed later. 501 never will.
_LATER = frozenset((408, 423, 429))


def judge(answer: Answer, now: datetime) -> Verdict:
    if 200 <= answer.status < 300:
        return Verdict(is_delivered=True)
    detail = said(answer)
    if answer.status in _LATER or (answer.status >= 500 and answer.status != 501):
        wait_s = retry_after_s(answer.headers.get("retry-after", ""), now)
        return Verdict(detail=detail, retry_after_s=wait_s)
    return Verdict(is_final=True, detail=detail)


def said(answer: Answer) -> str:
    """For people: the status, and what the destination wrote about it."""
    text = " ".join(answer.body[: _SHOWN * 4].decode("utf-8", "replace").split())[:_SHOWN]
    return f"answered {answer.status}" + (f": {text}" if text else "")


def retry_after_s(header: str, now: datetime) -> float | None:
    """Seconds, from the header's digits or date; None where it says nothing that can be read."""
    text = header.strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(float(text), LONGEST_WAIT_S)
    try:
        wait_s = (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wait_s, 0.0), LONGEST_WAIT_S)

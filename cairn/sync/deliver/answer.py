"""What a target's answer to a page means. Pure."""

import re
from datetime import datetime
from email.utils import parsedate_to_datetime

from cairn.http_client import Answer
from cairn.sync.deliver.page import NotAccepted
from cairn.sync.deliver.retry import LONGEST_WAIT

_SHOWN = 200  # characters of an answer that people are shown


def check_accepted(answer: Answer, now: datetime) -> None:
    """Raises NotAccepted, saying what was answered and when to try again."""
    if 200 <= answer.status < 300:
        return
    text = " ".join(answer.body[: _SHOWN * 4].decode("utf-8", "replace").split())[:_SHOWN]
    said = f"answered {answer.status}" + (f": {text}" if text else "")
    raise NotAccepted(said, retry_after_s=retry_after_s(answer.headers.get("retry-after", ""), now))


def retry_after_s(header: str, now: datetime) -> float | None:
    """Seconds, from the header's digits or date; None where it says nothing that can be read."""
    text = header.strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(float(text), LONGEST_WAIT.total_seconds())
    try:
        wait_s = (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(wait_s, 0.0), LONGEST_WAIT.total_seconds())

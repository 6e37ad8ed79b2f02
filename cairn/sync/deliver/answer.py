"""What a target's answer to a page means. Pure."""

from datetime import datetime

from cairn.http_client import Answer
from cairn.http_client.retry import retry_after_s, said
from cairn.sync.deliver.page import NotAccepted


def check_accepted(answer: Answer, now: datetime) -> None:
    """Raises NotAccepted, saying what was answered and when to try again."""
    if not 200 <= answer.status < 300:
        wait_s = retry_after_s(answer.headers.get("retry-after", ""), now)
        raise NotAccepted(said(answer), retry_after_s=wait_s)

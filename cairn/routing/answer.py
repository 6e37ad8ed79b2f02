"""What a destination's answer means, unless the destination knows better. Pure."""

from datetime import datetime

from cairn.http_client import Answer
from cairn.http_client.retry import retry_after_s, said
from cairn.routing.destination import Verdict

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

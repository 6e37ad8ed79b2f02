"""The sender's times: ISO 8601 with any offset, or epoch milliseconds."""

import functools
import math
from datetime import UTC, datetime, timedelta

from cairn.outcomes import Reason
from cairn.wire.refusal import Rejected

MOST_AHEAD_MS = 24 * 3_600_000  # a sender's clock may be that wrong
OLDEST_MS = 946_684_800_000  # 2000-01-01: before it the unit was wrong (seconds), or the format
_SHORTEST_EPOCH = 9  # digits; "20260301" is a date
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)

Timestamp = str | int | float


def epoch_ms(value: Timestamp, field: str) -> int:
    """Raises Rejected when it is not a time. A time without an offset is UTC."""
    if isinstance(value, str):
        # Digits first: some epoch milliseconds also read as a compact date and time.
        if not (value.isdecimal() and len(value) >= _SHORTEST_EPOCH):
            try:
                return _to_ms(datetime.fromisoformat(value))
            except ValueError:
                text = value.strip()
                if text == value:
                    raise _bad(field) from None
            return epoch_ms(text, field)
        value = int(value[:20])
    if not math.isfinite(value) or abs(value) > 2**53:
        raise _bad(field)
    return round(value)


def _to_ms(moment: datetime) -> int:
    since = moment - (_EPOCH if moment.tzinfo is not None else _NAIVE_EPOCH)
    # A division by a millisecond says the same in three times the time.
    return since.days * 86_400_000 + since.seconds * 1_000 + since.microseconds // 1_000


def iso_text(time_ms: int) -> str:
    """As Segment writes a time: UTC with milliseconds. `time_ms` is from 1970 to 9999."""
    days, rest = divmod(time_ms, 86_400_000)
    seconds, milliseconds = divmod(rest, 1_000)
    minutes, second = divmod(seconds, 60)
    return f"{_day_text(days)}T{minutes // 60:02}:{minutes % 60:02}:{second:02}.{milliseconds:03}Z"


# Events are of few days, and a date costs more to write than a time.
@functools.lru_cache(maxsize=1_024)
def _day_text(days: int) -> str:
    """`days` since 1970."""
    return (_EPOCH.date() + timedelta(days=days)).isoformat()


def check_range(time_ms: int, received_ms: int) -> None:
    """Raises Rejected for a time that cannot be meant."""
    if time_ms > received_ms + MOST_AHEAD_MS:
        raise Rejected(Reason.TIME_IN_FUTURE, "timestamp: more than a day ahead; check the sender's clock")
    if time_ms < OLDEST_MS:
        raise Rejected(
            Reason.TIME_TOO_OLD, "timestamp: before the year 2000; send ISO 8601 or epoch milliseconds"
        )


def happened_ms(time_ms: int, sent_ms: int, received_ms: int) -> int:
    """When something happened by our clock, from the sender's clock and what it showed at sending; 0: not known.

    A time after its own sending says that one of the two is wrong, and nothing of how far the clock is off: then the
    time is kept as it was sent. Source: contracts/segment.md 1.5.
    """
    return received_ms - (sent_ms - time_ms) if sent_ms and sent_ms >= time_ms else time_ms


def _bad(field: str) -> Rejected:
    return Rejected(Reason.BAD_TIMESTAMP, f"{field}: neither ISO 8601 nor epoch milliseconds")

"""How long received requests stay in the event log after they were loaded."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from cairn.clock import to_ms
from cairn.event import Arrival
from cairn.eventlog.log import START, EventLog
from cairn.eventlog.readers import READERS, passed_by_all

JOB = "forget_log"  # the kind of its recurring job
EVERY = timedelta(hours=1)

_arrivals = msgspec.msgpack.Decoder(Arrival)


def forget_log(log: EventLog, readers: Mapping[str, int] = READERS, *, keep: timedelta, now: datetime) -> int:
    """Forget entries that every reader has passed and that were received longer ago; return how many.

    Entries lie in the order of their receipt, so the first one to keep is found by halving.
    """
    end = passed_by_all(log, readers)
    cutoff_ms = to_ms(now - keep)
    oldest, newest = START, end  # everything up to `oldest` goes; nothing after `newest` does
    while oldest < newest:
        middle = (oldest + newest) // 2
        entries = log.read(middle, limit_items=1)
        if not entries or entries[0].position > newest:
            newest = middle  # a gap: what lies after it is kept already
        elif _received_ms(entries[0].items) < cutoff_ms:
            oldest = entries[0].position
        else:
            newest = middle
    return log.forget(oldest + 1) if oldest > START else 0


def _received_ms(items: Sequence[bytes]) -> int:
    """0 for an entry that cannot be read: it is as good as gone."""
    for item in items:
        try:
            return _arrivals.decode(item).received_ms
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
    return 0

"""Which segments are counted in full, when, and which of them together."""

from collections.abc import Iterable, Sequence

from cairn.segments.questions import CONDITIONS_PER_QUESTION
from cairn.segments.watched import Watched

# A recount that took d is followed by another no sooner than after 10 d: a tenth of one core.
COUNT_SHARE = 10
MOST_COUNTED = 200_000  # members of segments that are counted together: their users are in memory at once
FIRST_RETRY_MS, LONGEST_RETRY_MS = 5_000, 600_000  # of a segment that cannot be answered


class Recounts:
    """Counts that make up for something come first; mere recounts leave most of the time to everything else."""

    def __init__(self, interval_ms: int) -> None:
        self._interval_ms = interval_ms
        self._not_before_ms = 0

    def due(self, segments: Iterable[Watched], now_ms: int, *, is_urgent: bool) -> list[Watched]:
        """Those to be counted now, the most urgent first."""
        due = [watched for watched in segments if _is_due(watched, now_ms)]
        if not is_urgent and 0 < self._not_before_ms - now_ms <= self._interval_ms:
            due = [watched for watched in due if not is_recounted(watched)]
        return sorted(due, key=lambda w: (w.is_current, w.is_caught_up, w.due_ms))

    def took(self, count_ms: int, now_ms: int) -> None:
        self._not_before_ms = now_ms + COUNT_SHARE * count_ms

    def next_ms(self, watched: Watched, now_ms: int, *, is_proof: bool) -> int:
        """Segments that were counted together at the start are recounted spread over half an interval."""
        earlier_ms = 0 if is_proof else self._interval_ms * (watched.segment_id * 7919 % 1000) // 2000
        return now_ms + self._interval_ms - earlier_ms


def is_recounted(watched: Watched) -> bool:
    """Is it right as far as anybody knows, so that another count only proves it?"""
    return watched.is_current and watched.is_caught_up


def counted_together(due: Sequence[Watched]) -> list[Watched]:
    """The first that is due, and those that can share its pass over the events. One that failed is alone."""
    first = due[0]
    chosen, members = [first], first.users
    for watched in due[1:] if not first.failures else ():
        if watched.environment_id != first.environment_id or watched.failures:
            continue
        members += watched.users
        if len(chosen) == CONDITIONS_PER_QUESTION or members > MOST_COUNTED:
            break
        chosen.append(watched)
    return chosen


def retry_ms(watched: Watched) -> int:
    """How long until one that failed once more is tried again."""
    return int(min(FIRST_RETRY_MS * 2 ** min(watched.failures, 20), LONGEST_RETRY_MS))


def _is_due(watched: Watched, now_ms: int) -> bool:
    if watched.is_unreadable:
        return False  # until it is edited
    return now_ms >= watched.due_ms or (not watched.failures and not watched.is_caught_up)

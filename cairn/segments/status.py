"""How live segments are doing, for pages, benchmarks and tests."""

from collections.abc import Iterable

from msgspec import Struct

from cairn.segments.watched import Watched


class SegmentStatus(Struct, frozen=True):
    environment_id: int
    segment_id: int
    key: str
    users: int
    identified: int
    is_counted: bool  # do its members belong to the definition in force?
    counted_ms: int  # epoch milliseconds; 0 never
    count_ms: int  # how long the last full count took
    drift: int
    error: str
    failed_ms: int  # since when it is not live; 0: it is


class LiveStatus(Struct, frozen=True):
    pending_users: int
    last_evaluation_ms: float  # how long the last one took
    last_latency_ms: float  # from the loader's word to the members store
    last_lateness_ms: int  # how long after its time the last departure by time was evaluated
    last_error: str  # of the last pass; empty: it went well
    segments: tuple[SegmentStatus, ...]


def statuses(segments: Iterable[Watched]) -> tuple[SegmentStatus, ...]:
    """By environment and segment."""
    return tuple(
        SegmentStatus(
            environment_id=watched.environment_id,
            segment_id=watched.segment_id,
            key=watched.key,
            users=watched.users,
            identified=watched.identified,
            is_counted=watched.is_current,
            counted_ms=watched.counted_ms,
            count_ms=watched.count_ms,
            drift=watched.drift,
            error=watched.error,
            failed_ms=watched.failed_ms,
        )
        for watched in sorted(segments, key=lambda watched: watched.watched_id)
    )

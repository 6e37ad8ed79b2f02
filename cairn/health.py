"""What is wrong with this Cairn itself, in words for readers of the Home page."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import msgspec

from cairn.app.core import HealthProblem
from cairn.clock import Clock, is_possible, to_ms, utc_now
from cairn.disk_space import disk_space_of
from cairn.errors import Unavailable
from cairn.event import Arrival
from cairn.eventlog.log import EventLog
from cairn.eventlog.readers import LOADER
from cairn.ingest.loader import Loader
from cairn.ingest.set_aside import list_set_aside
from cairn.paths import Paths
from cairn.publisher import Publisher
from cairn.segments.live import LiveSegments

LATE = timedelta(minutes=1)  # events are visible within a second when all is well

_arrivals = msgspec.msgpack.Decoder(Arrival)


def health_of(
    data_dir: Path, log: EventLog, loader: Loader, live: LiveSegments, publisher: Publisher, clock: Clock
) -> Callable[[], list[HealthProblem]]:
    """A question that can be asked at any time; it costs some file reads."""

    def ask() -> list[HealthProblem]:
        return [
            *_of_clock(),
            *_of_disk(data_dir),
            *_of_log(log, clock),
            *_of_set_aside(data_dir),
            *_of_workers(loader, live, publisher),
        ]

    return ask


def _of_clock() -> Iterator[HealthProblem]:
    shown = utc_now()
    if not is_possible(shown):
        text = "Time is counted on from the last moment known. Set the clock, best by a time server."
        yield HealthProblem(
            "clock", f"The machine's clock is wrong: it shows {shown:%Y-%m-%d %H:%M} UTC", text
        )


def _of_disk(data_dir: Path) -> Iterator[HealthProblem]:
    space = disk_space_of(data_dir)
    if space.is_short:
        yield HealthProblem(
            "disk full",
            "Events are not accepted: the disk is full",
            f"Senders are asked to send again: {space.text}.",
        )


def _of_log(log: EventLog, clock: Clock) -> Iterator[HealthProblem]:
    try:
        damage, waiting = log.damaged(), log.read(log.committed(LOADER), limit_items=1)
    except Unavailable as error:
        yield HealthProblem("log away", "The event log cannot be read", f"{error}.")
        return
    if damage:
        reasons = "; ".join(reason for _, reason in damage[:3])
        more = f"; and {len(damage) - 3} more" if len(damage) > 3 else ""
        text = f"{reasons}{more}. All else was loaded; what came before was not touched."
        yield HealthProblem("log damaged", "The event log was damaged, and some of it may be lost", text)
    if waiting:
        late = timedelta(milliseconds=to_ms(clock()) - _received_ms(waiting[0].items, to_ms(clock())))
        if late > LATE:
            title = f"Events become visible {int(late.total_seconds() // 60)} min after they arrive"
            yield HealthProblem(
                "behind", title, "More arrive than are loaded, or loading stopped. None is lost."
            )


def _of_set_aside(data_dir: Path) -> Iterator[HealthProblem]:
    if requests := list_set_aside(Paths(data_dir).set_aside):
        shown = "; ".join(f"request {request.position}: {request.reason}" for request in requests[:3])
        more = f"; and {len(requests) - 3} more" if len(requests) > 3 else ""
        count = "A request was" if len(requests) == 1 else f"{len(requests)} requests were"
        text = f"{shown}{more}. All others were loaded. The command cairn set-aside lists them and loads one again."
        yield HealthProblem("set aside", f"{count} set aside after stopping Cairn twice", text)


def _of_workers(loader: Loader, live: LiveSegments, publisher: Publisher) -> Iterator[HealthProblem]:
    for label, title, error in (
        ("not loaded", "Events are accepted, but cannot be loaded now", loader.error),
        ("segments", "Live segments wait", live.error),
        ("not published", "Changes of flags, keys and lists are not in force yet", publisher.error),
    ):
        if error:
            yield HealthProblem(label, title, f"{error}. It is tried again until it succeeds.")


def _received_ms(items: tuple[bytes, ...], unknown: int) -> int:
    try:
        return _arrivals.decode(items[0]).received_ms
    except (msgspec.MsgspecError, UnicodeDecodeError, IndexError):
        return unknown

"""A loader with everything real around it, and a wire format so plain that each test shows the drafts it sends."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import msgspec
import sqlalchemy as sa

from cairn.event import Arrival, Draft, Element, Refused
from cairn.eventlog.log import EventLog
from cairn.ids import key_hash
from cairn.ingest.feed import Feed
from cairn.ingest.loaded import Loaded
from cairn.ingest.loader import Loader
from cairn.ingest.location import Locate, locate_nothing
from cairn.members.sets import Published
from cairn.outcomes import Reason
from cairn.published.directory import Directory, Source
from cairn.store.question import ad_hoc
from cairn.store.store import Store
from tests.databases import open_test_metadata
from tests.seams import open_log, open_store

NOW = datetime.now(UTC).replace(microsecond=0)
NOW_MS = int(NOW.timestamp() * 1000)
DAY_MS = 86_400_000


class BrokenParser(Exception):
    """A fault of ours in a parser."""


def plain(arrival: Arrival) -> list[Draft | Refused]:
    """The body is a list of drafts' fields; one with a `refuse` is refused."""
    out: list[Draft | Refused] = []
    for fields in msgspec.json.decode(arrival.body):
        if "raise" in fields:
            raise BrokenParser(fields["raise"])
        if "refuse" in fields:
            out.append(
                Refused(
                    arrival.environment_id,
                    arrival.received_ms,
                    Reason(fields["refuse"]),
                    name=fields.get("name", ""),
                    payload=fields.get("payload", ""),
                )
            )
            continue
        out.append(draft(arrival, **fields))
    return out


def draft(arrival: Arrival, **fields: Any) -> Draft:
    common = {
        "environment_id": arrival.environment_id,
        "kind": "custom",
        "name": "Paid",
        "time_ms": arrival.received_ms,
        "received_ms": arrival.received_ms,
        "source": arrival.source,
        "key_space": "test",
    }
    if "element" in fields:
        fields["element"] = Element(**fields["element"])
    return Draft(**{**common, **fields})


PARSERS = {"plain": plain}


def arrival(*events: dict[str, Any], environment_id: int = 1, **fields: Any) -> Arrival:
    common = {
        "parser": "plain",
        "environment_id": environment_id,
        "source_id": 0,
        "source": "heap",
        "received_ms": NOW_MS,
        "ip": "",
        "user_agent": "",
        "body": msgspec.json.encode(events),
    }
    return Arrival(**{**common, **fields})


def source(source_id: int, environments: tuple[int, ...], *, is_enabled: bool = True) -> Source:
    return Source(source_id, 1, 1, f"source {source_id}", "server", is_enabled, environments)


class Watched:
    """A store that counts its calls."""

    def __init__(self, store: Store) -> None:
        self.calls: Counter[str] = Counter()
        self._store = store

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            self.calls[name] += 1
            return method(*arguments, **options)

        return counted


@dataclass
class Rig:
    log: EventLog
    store: Store
    engine: sa.Engine
    directory: Directory = field(default_factory=Directory)
    feed: Feed = field(default_factory=Feed)
    loaded: list[Loaded] = field(default_factory=list)
    published: Published | None = None
    locate: Locate = locate_nothing

    def __post_init__(self) -> None:
        self.restart()

    def restart(
        self,
        *,
        log: EventLog | None = None,
        store: Store | None = None,
        on_loaded: Callable[[list[Loaded]], None] | None = None,
    ) -> None:
        """What a new process would be: nothing in memory but what the disk has."""
        self.loader = Loader(
            log or self.log,
            store or self.store,
            self.engine,
            lambda: self.directory,
            self.feed,
            lambda: NOW,
            on_loaded or self.loaded.extend,
            parsers=PARSERS,
            published=self.published,
            locate=self.locate,
        )

    def watch(self) -> Counter[str]:
        """Restart on a store that counts: what it is asked from now on, by method."""
        watched = Watched(self.store)
        self.restart(store=cast(Store, watched))
        return watched.calls

    def send(self, *events: dict[str, Any], **fields: Any) -> None:
        self.log.append([msgspec.msgpack.encode(arrival(*events, **fields))])

    def load(self) -> int:
        count = 0
        while loaded := self.loader.load_once():
            count += loaded
        return count

    def events(self, environment_id: int, columns: str = "name") -> list[Any]:
        return self._rows(environment_id, "events", columns)

    def refusals(self, environment_id: int, columns: str = "reason") -> list[Any]:
        return self._rows(environment_id, "refusals", columns)

    def properties(self, environment_id: int) -> dict[tuple[int, str], str]:
        rows = self.store.query(
            ad_hoc(
                environment_id,
                "SELECT user_id, key, argMax(value, version) FROM cairn.user_properties "
                "WHERE environment_id = {environment:UInt32} GROUP BY user_id, key",
            ),
        )
        return {(row[0], row[1]): row[2] for row in rows}

    def _rows(self, environment_id: int, table: str, columns: str) -> list[Any]:
        rows = self.store.query(
            ad_hoc(
                environment_id,
                f"SELECT {columns} FROM cairn.{table} WHERE environment_id = {{environment:UInt32}} "
                "ORDER BY log_position",
            ),
        )
        return [row[0] if len(row) == 1 else tuple(row) for row in rows]


def opened(folder: Path, store: Store | None = None) -> Rig:
    engine = open_test_metadata(folder)
    return Rig(open_log(folder / "log.db"), store or open_store(folder / "store", memory_mb=512), engine)


def sources(*all_sources: Source) -> Directory:
    return Directory(sources={key_hash(str(one.source_id)): one for one in all_sources})


def outcomes(rig: Rig, environment_id: int) -> Sequence[str]:
    """Of every event of an environment, in the order of arrival."""
    rows = rig.store.query(
        ad_hoc(
            environment_id,
            "SELECT reason FROM (SELECT log_position, 'stored' AS reason FROM cairn.events "
            "WHERE environment_id = {environment:UInt32} UNION ALL SELECT log_position, reason FROM cairn.refusals "
            "WHERE environment_id = {environment:UInt32}) ORDER BY log_position",
        ),
    )
    return [row[0] for row in rows]

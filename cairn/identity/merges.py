"""Which raw user ids belong to one user: the map in force and its history.

A raw id is never rewritten. The first identity a user id gets maps it to the identity's canonical id; an un-merge
takes the row away again and says so in the history. The event store keeps a copy of the map (`map_copy`).
A row without an identity is a join (`joins`): it leads to another raw id, and from there on like that one.
Source: contracts/heap.md sections 2.4 and 7.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from cairn.db.among import among
from cairn.db.engine import Lock, take
from cairn.db.tables import merges, user_map
from cairn.ids import identified_user_id
from cairn.outcomes import Reason
from cairn.store.store import MapChange

SERVER_IDENTIFY = "server_identify"  # the cause that Heap limits
# A person has some tens of devices in a life; everything known of one user is asked by all of its ids.
MOST_USERS_OF_IDENTITY = 1_000
USERS_PER_IDENTITY_AND_MONTH = 10  # calendar month, UTC; Heap ignores the eleventh


class MergeRequest(Struct, frozen=True):
    """This user id was seen under this identity."""

    environment_id: int
    user_id: int
    identity: str
    cause: str
    at: datetime
    is_explicit: bool = True  # an identify call; not an event that only carries the identity along
    is_identified: bool = False  # the user id itself is the one of another identity that was seen


class Merge(Struct, frozen=True):
    """`user_id` belongs to `canonical_id`. `version`: its place in the history, 0 when there is nothing to map."""

    environment_id: int
    user_id: int
    canonical_id: int
    identity: str
    version: int
    is_new: bool

    @property
    def change(self) -> MapChange:
        return MapChange(self.environment_id, self.user_id, self.canonical_id, self.version)


class HistoryItem(Struct, frozen=True):
    id: int
    user_id: int
    canonical_id: int  # the user it was merged into, or taken out of
    identity: str
    kind: str  # merge, unmerge
    cause: str
    at: datetime


def canonical(connection: sa.Connection, environment_id: int, user_ids: Iterable[int]) -> dict[int, int]:
    """Where merged ids lead. Shape: raw id -> canonical id, only those that differ."""
    leads = _leads(connection, environment_id, user_ids)
    joined = {canonical_id for canonical_id, identity in leads.values() if not identity}
    ends = _leads(connection, environment_id, joined) if joined else {}
    return {user_id: ends.get(lead, (lead, ""))[0] for user_id, (lead, _) in leads.items()}


def _leads(
    connection: sa.Connection, environment_id: int, user_ids: Iterable[int]
) -> dict[int, tuple[int, str]]:
    """The rows of the map. Shape: raw id -> (the id it leads to, identity)."""
    statement = sa.select(user_map.c.user_id, user_map.c.canonical_id, user_map.c.identity).where(
        user_map.c.environment_id == environment_id, among(user_map.c.user_id, user_ids)
    )
    return {row.user_id: (row.canonical_id, row.identity) for row in connection.execute(statement)}


def raw_ids(
    connection: sa.Connection, environment_id: int, canonical_ids: Iterable[int]
) -> dict[int, list[int]]:
    """Every id whose events belong to a user. Shape: canonical id -> itself, then the merged ones, rising."""
    raws = {canonical_id: [canonical_id] for canonical_id in canonical_ids}
    merged = _led_to(connection, environment_id, raws)
    owners = {user_id: canonical_id for user_id, canonical_id in merged if user_id not in raws}
    joined = _led_to(connection, environment_id, owners) if owners else []
    for user_id, canonical_id in sorted([*merged, *((raw, owners[lead]) for raw, lead in joined)]):
        raws[canonical_id].append(user_id)
    return raws


def _led_to(connection: sa.Connection, environment_id: int, user_ids: Iterable[int]) -> list[tuple[int, int]]:
    """Shape: (raw id, the id among these that it leads to)."""
    statement = sa.select(user_map.c.user_id, user_map.c.canonical_id).where(
        user_map.c.environment_id == environment_id, among(user_map.c.canonical_id, user_ids)
    )
    return [(row.user_id, row.canonical_id) for row in connection.execute(statement)]


def merge(
    connection: sa.Connection, environment_id: int, user_id: int, identity: str, cause: str, now: datetime
) -> Merge | Reason:
    """Give a user id its identity. See `merge_all`."""
    return merge_all(connection, [MergeRequest(environment_id, user_id, identity, cause, now)])[0]


def merge_all(connection: sa.Connection, requests: Sequence[MergeRequest]) -> list[Merge | Reason]:
    """Merge in order, in one write transaction. Shape: one answer per request, in their order.

    Refuses a second identity of a user id (IDENTITY_TAKEN); more user ids of an identity than MOST_USERS_OF_IDENTITY
    and, for `SERVER_IDENTIFY`, the eleventh in a month (TOO_MANY_USERS_FOR_IDENTITY). What was taken back is merged
    again by an explicit request only (MERGE_TAKEN_BACK), because clients carry the identity along with every event.
    Guarantee: the same again changes nothing; without refusals the order does not matter.
    """
    take(connection, Lock.MERGES)
    maps: dict[int, _Map] = {}
    for environment_id in {request.environment_id for request in requests}:
        own = [request for request in requests if request.environment_id == environment_id]
        maps[environment_id] = _Map(connection, environment_id, own)
    decided = [maps[request.environment_id].decide(request) for request in requests]
    versions = _write(
        connection,
        [
            (answer, request)
            for answer, request in zip(decided, requests, strict=True)
            if isinstance(answer, Merge) and answer.is_new
        ],
    )
    return [
        msgspec.structs.replace(
            answer, version=versions.get((answer.environment_id, answer.user_id), answer.version)
        )
        if isinstance(answer, Merge)
        else answer
        for answer in decided
    ]


def unmerge(
    connection: sa.Connection, environment_id: int, user_id: int, cause: str, now: datetime
) -> MapChange | None:
    """Let a user id stand for itself again. None: it was not merged. Insert the change into the event store."""
    take(connection, Lock.MERGES)
    row = connection.execute(
        sa.delete(user_map)
        .where(user_map.c.environment_id == environment_id, user_map.c.user_id == user_id)
        .returning(user_map.c.canonical_id, user_map.c.identity)
    ).one_or_none()
    if row is None:
        return None
    version = connection.execute(
        sa.insert(merges)
        .values(
            environment_id=environment_id,
            user_id=user_id,
            canonical_id=row.canonical_id,
            identity=row.identity,
            kind="unmerge",
            cause=cause,
            at=now,
        )
        .returning(merges.c.id)
    ).scalar_one()
    return MapChange(environment_id, user_id, user_id, version)


def history(connection: sa.Connection, environment_id: int, user_ids: Iterable[int]) -> list[HistoryItem]:
    """What was merged and un-merged for these ids, raw or canonical, oldest first."""
    ids = list(user_ids)
    statement = (
        sa.select(*(merges.c[name] for name in HistoryItem.__struct_fields__))
        .where(
            merges.c.environment_id == environment_id,
            among(merges.c.user_id, ids) | among(merges.c.canonical_id, ids),
        )
        .order_by(merges.c.id)
    )
    return [HistoryItem(*row) for row in connection.execute(statement)]


class _Map:
    """What the map says of the ids in some requests, kept up to date while they are decided one by one."""

    def __init__(
        self, connection: sa.Connection, environment_id: int, requests: Sequence[MergeRequest]
    ) -> None:
        self._own = {r.identity: identified_user_id(environment_id, r.identity) for r in requests}
        ids = {request.user_id for request in requests}.union(self._own.values())
        self._rows = _mapped(connection, environment_id, ids)
        self._taken = _identities(connection, environment_id, ids)
        carried = {request.user_id for request in requests if not request.is_explicit}
        self._taken_back = _taken_back(connection, environment_id, carried)
        limited = [request for request in requests if request.cause == SERVER_IDENTIFY]
        self._months = _users_by_month(
            connection,
            environment_id,
            {self._target(request.identity) for request in limited},
            since=min((_month_start(request.at) for request in limited), default=None),
        )

    def _target(self, identity: str) -> int:
        """The identity's canonical id; when that id was itself merged, where it leads, so that no chain arises."""
        own = self._own[identity]
        row = self._rows.get(own)
        return row.canonical_id if row else own

    def decide(self, request: MergeRequest) -> Merge | Reason:
        user_id, identity = request.user_id, request.identity
        if row := self._rows.get(user_id):
            return row if row.identity == identity else Reason.IDENTITY_TAKEN
        if not request.is_explicit and self._taken_back.get(user_id) == identity:
            return Reason.MERGE_TAKEN_BACK
        target = self._target(identity)
        if user_id == target:
            return Merge(request.environment_id, user_id, user_id, identity, 0, is_new=False)
        if request.is_identified or user_id in self._taken:
            return Reason.IDENTITY_TAKEN
        if self._taken[target] >= MOST_USERS_OF_IDENTITY:
            return Reason.TOO_MANY_USERS_FOR_IDENTITY
        month = (target, _month_start(request.at))
        if request.cause == SERVER_IDENTIFY and self._months[month] >= USERS_PER_IDENTITY_AND_MONTH:
            return Reason.TOO_MANY_USERS_FOR_IDENTITY
        self._months[month] += 1
        self._taken[target] += 1
        self._rows[user_id] = Merge(request.environment_id, user_id, target, identity, 0, is_new=False)
        return msgspec.structs.replace(self._rows[user_id], is_new=True)


def _mapped(connection: sa.Connection, environment_id: int, ids: Iterable[int]) -> dict[int, Merge]:
    newest = (
        sa.select(sa.func.max(merges.c.id))
        .where(merges.c.environment_id == environment_id, merges.c.user_id == user_map.c.user_id)
        .scalar_subquery()
    )
    statement = sa.select(
        user_map.c.user_id, user_map.c.canonical_id, user_map.c.identity, newest.label("version")
    ).where(user_map.c.environment_id == environment_id, among(user_map.c.user_id, ids))
    return {
        row.user_id: Merge(
            environment_id, row.user_id, row.canonical_id, row.identity, row.version or 0, is_new=False
        )
        for row in connection.execute(statement)
    }


def _taken_back(connection: sa.Connection, environment_id: int, ids: Iterable[int]) -> dict[int, str]:
    """The identity each of these ids was taken out of last, of those that were not merged since."""
    newest = (
        sa.select(sa.func.max(merges.c.id))
        .where(merges.c.environment_id == environment_id, among(merges.c.user_id, ids))
        .group_by(merges.c.user_id)
    )
    statement = sa.select(merges.c.user_id, merges.c.identity).where(
        merges.c.id.in_(newest), merges.c.kind == "unmerge"
    )
    return {row.user_id: row.identity for row in connection.execute(statement)}


def _identities(connection: sa.Connection, environment_id: int, ids: Iterable[int]) -> Counter[int]:
    """Those ids that others were merged into, and how many: an identity's own ids, which take no other identity."""
    statement = (
        sa.select(user_map.c.canonical_id, sa.func.count())
        .where(
            user_map.c.environment_id == environment_id,
            among(user_map.c.canonical_id, ids),
            user_map.c.identity != "",
        )
        .group_by(user_map.c.canonical_id)
    )
    return Counter({canonical_id: count for canonical_id, count in connection.execute(statement)})


def _users_by_month(
    connection: sa.Connection, environment_id: int, canonical_ids: Iterable[int], *, since: datetime | None
) -> Counter[tuple[int, datetime]]:
    if since is None:
        return Counter()
    statement = sa.select(user_map.c.canonical_id, user_map.c.merged_at).where(
        user_map.c.environment_id == environment_id,
        among(user_map.c.canonical_id, canonical_ids),
        user_map.c.merged_at >= since,
    )
    return Counter((row.canonical_id, _month_start(row.merged_at)) for row in connection.execute(statement))


def _write(
    connection: sa.Connection, new: Sequence[tuple[Merge, MergeRequest]]
) -> dict[tuple[int, int], int]:
    """Append to map and history. Shape: (environment, user) -> version."""
    if not new:
        return {}
    common = [
        {
            "environment_id": merged.environment_id,
            "user_id": merged.user_id,
            "canonical_id": merged.canonical_id,
            "identity": merged.identity,
        }
        for merged, _ in new
    ]
    connection.execute(
        sa.insert(user_map),
        [{**row, "merged_at": request.at} for row, (_, request) in zip(common, new, strict=True)],
    )
    versions = connection.execute(
        sa.insert(merges).returning(merges.c.id, sort_by_parameter_order=True),
        [
            {**row, "kind": "merge", "cause": request.cause, "at": request.at}
            for row, (_, request) in zip(common, new, strict=True)
        ],
    ).scalars()
    return {
        (merged.environment_id, merged.user_id): version
        for (merged, _), version in zip(new, versions, strict=True)
    }


def _month_start(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)

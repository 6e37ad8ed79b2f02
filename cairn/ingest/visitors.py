"""The loader's step that finds the user behind a flag SDK's visitor.

A flag event names its user by a hash of the id that the application knows the user by: an identity, Segment's anonymous
id or the number Heap gave a browser. A hash cannot be read backwards, so each id gets a row under its hash when it is
first seen. A flag event whose hash has a row is stored as that user's. One whose hash has none is stored under the hash
and leaves a row that says so; when its id is seen at last, the two are joined (`identity/joins`).

A batch without flag events and without new ids asks nothing of the store.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from cairn import ids
from cairn.clock import from_ms
from cairn.db.engine import reading
from cairn.event import Draft
from cairn.identity.joins import Join, join_all, joined, with_history
from cairn.ingest.batch import Batch, Parts
from cairn.ingest.remembered import Recent
from cairn.published.directory import Directory
from cairn.store.store import VisitorRow

WAITING, NUMBER, ANONYMOUS, IDENTITY = range(4)  # ranks of VisitorRow

Key = tuple[int, int]  # environment, visitor id


# Environment, raw user, the text by which an application may know it, its rank. Plain: one for each new user.
Named = tuple[int, int, str, int]


def join_visitors(batch: Batch, parts: Parts) -> None:
    accounts = accounts_of(parts.directory())
    if batch.replayed:
        _join_again(visitor_rows(_named(batch.replayed, batch, Recent()), accounts), batch, parts)
    named = _named(batch.drafts, batch, parts.remembered.named)
    flagged = [draft for draft in (*batch.drafts, *batch.replayed) if draft.is_visitor]
    if not named and not flagged:
        return
    rows = visitor_rows(named, accounts)
    join_waiting(rows, batch, parts, from_ms(batch.parsed[-1].arrival.received_ms))
    batch.visitors.update(rows)
    if flagged:
        _resolve(flagged, batch, parts)


def accounts_of(directory: Directory) -> dict[int, int]:
    """The account id that flag SDKs hash with. Shape: environment -> account."""
    return {sdk.environment_id: sdk.account_id for sdk in directory.sdks.values()}


def visitor_rows(named: Iterable[Named], accounts: Mapping[int, int]) -> dict[Key, VisitorRow]:
    """Of users that share a name the one of the greatest rank, then the smallest id."""
    rows: dict[Key, VisitorRow] = {}
    for environment_id, user_id, text, rank in named:
        account_id = accounts.get(environment_id)
        if account_id is None:
            continue
        visitor_id = ids.visitor_id(text, account_id)
        row = rows.get((environment_id, visitor_id))
        if row is None or (row.rank, -row.user_id) < (rank, -user_id):
            rows[environment_id, visitor_id] = VisitorRow(environment_id, visitor_id, user_id, rank)
    return rows


def join_waiting(rows: Mapping[Key, VisitorRow], batch: Batch, parts: Parts, now: datetime) -> None:
    """Join the visitors whose events came before their user was known."""
    waiting = parts.store.waiting_visitors(list(rows))
    if not waiting:
        return
    joins = [Join(*key, rows[key].user_id, now) for key in sorted(waiting)]
    with parts.engine.begin() as connection:
        batch.merges += join_all(connection, joins)


def _join_again(rows: Mapping[Key, VisitorRow], batch: Batch, parts: Parts) -> None:
    """What was joined by a load that was killed may not have been told to anybody."""
    with reading(parts.engine) as connection:
        for environment_id in {environment_id for environment_id, _ in rows}:
            visitors = [visitor_id for here, visitor_id in rows if here == environment_id]
            batch.merges += joined(connection, environment_id, visitors)


def _named(drafts: Iterable[Draft], batch: Batch, known: Recent[int]) -> set[Named]:
    """The users of these events that may have no row yet, under each name that they are called by here."""
    named: set[Named] = set()
    for draft in drafts:
        if draft.is_visitor:
            continue
        environment_id, number = draft.environment_id, draft.merge_user_id
        if draft.identity:
            own = batch.identified[environment_id, draft.identity]
            if (known.get((environment_id, own)) or WAITING) < IDENTITY:
                named.add((environment_id, own, draft.identity, IDENTITY))
        elif not number:
            number = draft.user_id
        if number:
            rank = ANONYMOUS if draft.anonymous_id else NUMBER
            if (known.get((environment_id, number)) or WAITING) < rank:
                named.add((environment_id, number, draft.anonymous_id or str(number), rank))
    return named


def _resolve(flagged: list[Draft], batch: Batch, parts: Parts) -> None:
    """Give flag events to the users they are about. Those of a visitor that has a history of merges stay its own."""
    asked = sorted({(draft.environment_id, draft.user_id) for draft in flagged})
    rows = {(row.environment_id, row.visitor_id): row for row in parts.store.visitors(asked)}
    for key in asked:
        here = batch.visitors.get(key)
        if here is not None and (key not in rows or rows[key].rank < here.rank):
            rows[key] = here
    settled = _with_history(asked, parts)
    for key in asked:
        if key not in rows:
            rows[key] = batch.visitors[key] = VisitorRow(*key, 0, WAITING)
    for draft in flagged:
        key = (draft.environment_id, draft.user_id)
        if rows[key].rank and key not in settled:
            draft.user_id = rows[key].user_id


def _with_history(asked: list[Key], parts: Parts) -> set[Key]:
    settled = set()
    with reading(parts.engine) as connection:
        for environment_id in {environment_id for environment_id, _ in asked}:
            visitors = [visitor_id for here, visitor_id in asked if here == environment_id]
            found = with_history(connection, environment_id, visitors)
            settled |= {(environment_id, visitor_id) for visitor_id in found}
    return settled

"""The loader's step that finds the user behind a flag SDK's visitor.

A flag event names its user by a hash of the id that the application knows the user by: an identity, Segment's anonymous
id or the number Heap gave a browser. A hash cannot be read backwards, so each id gets a row under its hash. A flag
event whose hash has a row is stored as that user's. One whose hash has none is stored under the hash and leaves a row
that says so; when its id is seen at last, the two are joined (`identity/joins`).

Identities are stored anyhow, so an environment without flag events has no rows for them. With its first flag event the
event store makes those of all identities at once (`name_identities`), and from then on (`followed`) each new one gets
its own. After a start environments are followed again, from their first flag event or because a visitor waits there.
Other ids are stored nowhere else: they get their row when they are first seen.

A batch without flag events and without new ids asks nothing of the store.
"""

from collections.abc import Iterable, Mapping, Set

from cairn import ids
from cairn.clock import from_ms
from cairn.db.engine import reading
from cairn.event import Draft
from cairn.identity.joins import Join, join_all, joined, with_history
from cairn.ingest.batch import Batch, LoaderResources
from cairn.ingest.remembered import Recent
from cairn.published.directory import Directory
from cairn.store.store import ANONYMOUS, IDENTITY, NUMBER, WAITING, VisitorRow

Key = tuple[int, int]  # environment, visitor id


# Environment, raw user, the text by which an application may know it, its rank. Plain: one for each new user.
Named = tuple[int, int, str, int]


def join_visitors(batch: Batch, resources: LoaderResources) -> None:
    accounts = accounts_of(resources.directory())
    if batch.replayed:
        everywhere = {draft.environment_id for draft in batch.replayed}
        _join_again(
            visitor_rows(_named(batch.replayed, batch, Recent(), everywhere), accounts), batch, resources
        )
    flagged = [draft for draft in (*batch.drafts, *batch.replayed) if draft.is_visitor]
    stored = _follow(flagged, accounts, batch, resources)
    followed = resources.followed.environments | batch.followed.keys()
    named = _named(batch.drafts, batch, resources.remembered.named, followed)
    new = visitor_rows(named, accounts)
    rows = {**stored, **new}
    if rows:
        _join_waiting(rows, batch, resources)
        batch.visitors.update(new)
    if flagged:
        _resolve(flagged, rows, batch, resources)


def _follow(
    flagged: list[Draft], accounts: Mapping[int, int], batch: Batch, resources: LoaderResources
) -> dict[Key, VisitorRow]:
    """Begin to follow environments; return the rows of their stored identities that are of use to this batch."""
    rows: dict[Key, VisitorRow] = {}
    for environment_id in resources.followed.missing(
        {draft.environment_id for draft in flagged}, resources.store
    ):
        if (account_id := accounts.get(environment_id)) is None:
            continue
        batch.followed[environment_id] = account_id
        visitor_ids = sorted({draft.user_id for draft in flagged if draft.environment_id == environment_id})
        for row in resources.store.identities_behind(environment_id, account_id, visitor_ids):
            rows[environment_id, row.visitor_id] = row
    return rows


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


def _join_waiting(rows: Mapping[Key, VisitorRow], batch: Batch, resources: LoaderResources) -> None:
    """Join the visitors whose events came before their user was known."""
    waiting = resources.store.waiting_visitors(list(rows))
    if not waiting:
        return
    now = from_ms(batch.parsed[-1].arrival.received_ms)
    joins = [Join(*key, rows[key].user_id, now) for key in sorted(waiting)]
    with resources.engine.begin() as connection:
        batch.merges += join_all(connection, joins)


def _join_again(rows: Mapping[Key, VisitorRow], batch: Batch, resources: LoaderResources) -> None:
    """What was joined by a load that was killed may not have been told to anybody."""
    with reading(resources.engine) as connection:
        for environment_id in {environment_id for environment_id, _ in rows}:
            visitors = [visitor_id for here, visitor_id in rows if here == environment_id]
            batch.merges += joined(connection, environment_id, visitors)


def _named(drafts: Iterable[Draft], batch: Batch, known: Recent[int], followed: Set[int]) -> set[Named]:
    """The users of these events that may have no row yet, under each name that they are called by here.

    Of environments that are not followed without identities, but for those that are stored nowhere else.
    """
    named: set[Named] = set()
    for draft in drafts:
        if draft.is_visitor:
            continue
        environment_id, number = draft.environment_id, draft.merge_user_id
        if draft.identity:
            if environment_id in followed or draft.event_id in batch.not_merged:
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


def _resolve(
    flagged: list[Draft], new: Mapping[Key, VisitorRow], batch: Batch, resources: LoaderResources
) -> None:
    """Give flag events to the users they are about. Those of a visitor that has a history of merges stay its own."""
    visitors = sorted({(draft.environment_id, draft.user_id) for draft in flagged})
    rows = {(row.environment_id, row.visitor_id): row for row in resources.store.visitors(visitors)}
    for key in visitors:
        here = new.get(key)
        if here is not None and (key not in rows or rows[key].rank < here.rank):
            rows[key] = here
    settled = _with_history(visitors, resources)
    for key in visitors:
        if key not in rows:
            rows[key] = batch.visitors[key] = VisitorRow(*key, 0, WAITING)
    for draft in flagged:
        key = (draft.environment_id, draft.user_id)
        if rows[key].rank and key not in settled:
            draft.user_id = rows[key].user_id


def _with_history(keys: list[Key], resources: LoaderResources) -> set[Key]:
    settled = set()
    with reading(resources.engine) as connection:
        for environment_id in {environment_id for environment_id, _ in keys}:
            visitors = [visitor_id for here, visitor_id in keys if here == environment_id]
            merged = with_history(connection, environment_id, visitors)
            settled |= {(environment_id, visitor_id) for visitor_id in merged}
    return settled

"""Taking a user's requests out of the event log once they are loaded: the log keeps them only to be read again.

A request is taken out whole, also a bulk request that carries others' events beside the user's; those are stored
already. Only where a connection has yet to deliver it, the others' calls stay in a batch. What stays of its entry keeps
its position, and every other request its place: they are what makes an event that is read again the same event.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote, quote_plus

import msgspec

from cairn.event import Arrival
from cairn.eventlog.log import START, EventLog
from cairn.ingest.set_aside import forget_where
from cairn.log_position import entry_of, item_of, log_of
from cairn.privacy.erasure import UsersToErase
from cairn.query.user_rows import log_positions
from cairn.store.store import Store

REMOVED = "removed"  # the parser that finds nothing (wire/parsers)
_ITEMS_PER_READ = 256  # requests, of 500 KB at most
_LONG_ENOUGH = 6  # bytes; a shorter name is looked for between quotes only, as it may be part of any word
_ID_DIGITS = 10  # a user id with fewer digits may be any number

_NO_CALL = msgspec.Raw(b"null")

_arrivals = msgspec.msgpack.Decoder(Arrival)


def logged_requests(log: EventLog, store: Store, users: Iterable[UsersToErase]) -> set[tuple[int, int]]:
    """Where in this log the users' stored events came from. Shape: (entry, item)."""
    return {
        (entry_of(position), item_of(position))
        for user in users
        for position in log_positions(store, user.environment_id, user.raw_ids)
        if log_of(position) == log.id
    }


def purge_log(
    log: EventLog,
    until: int,
    requests: set[tuple[int, int]],
    users: Sequence[UsersToErase],
    *,
    routed: int | None = None,
) -> int:
    """Erase these requests, and every other up to a position that names one of the users; return how many.

    `until`: what the loader has passed; `routed`: what connections have passed too, None: the same. Only requests of
    the environments in `users` are touched.
    """
    texts = _needles(users)
    own, removed, after = {user.environment_id for user in users}, 0, START
    while entries := log.read(after, limit_items=_ITEMS_PER_READ):
        for entry in entries:
            if entry.position > until:
                return removed
            items = list(entry.items)
            for index, item in enumerate(items):
                is_theirs = (entry.position, index) in requests or any(text in item for text in texts)
                is_delivered = routed is None or entry.position <= routed
                emptied = _emptied(item, own, () if is_delivered else texts) if is_theirs else None
                if emptied is not None:
                    items[index] = emptied
                    removed += 1
            if items != list(entry.items):
                log.erase(entry.position, items)
        after = entries[-1].position
    return removed


def purge_set_aside(folder: Path, users: Sequence[UsersToErase]) -> int:
    """Delete the requests set aside (ingest/set_aside) that name one of the users; return how many."""
    texts, own = _needles(users), {user.environment_id for user in users}

    def is_theirs(item: bytes) -> bool:
        return any(text in item for text in texts) and _emptied(item, own) is not None

    return forget_where(folder, is_theirs)


def _emptied(item: bytes, environment_ids: set[int], texts: Sequence[bytes] = ()) -> bytes | None:
    """What stands in a request's place; None where it is another's, or stands there already.

    `texts`: of a batch that is yet to be delivered only the calls with one of these go.
    """
    try:
        arrival = _arrivals.decode(item)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if not arrival.environments & environment_ids or arrival.parser == REMOVED:
        return None
    if texts and (kept := _thinned(arrival, texts)) is not None:
        return msgspec.msgpack.encode(kept)
    return msgspec.msgpack.encode(
        Arrival(
            REMOVED,
            arrival.environment_id,
            arrival.source_id,
            arrival.source,
            arrival.received_ms,
            "",
            "",
            b"",
        )
    )


def _thinned(arrival: Arrival, texts: Sequence[bytes]) -> Arrival | None:
    """Every other call keeps its place in the batch; None: it is no batch, or names somebody around its calls."""
    if arrival.parser != "segment":
        return None
    try:
        envelope = msgspec.json.decode(arrival.body, type=dict[str, msgspec.Raw])
        calls = msgspec.json.decode(envelope.pop("batch"), type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError):
        return None
    if any(text in msgspec.json.encode(envelope) for text in texts):
        return None
    theirs = [any(text in bytes(call) for text in texts) for call in calls]
    if not any(theirs):  # the store knows of one that no text tells
        return None
    kept = [_NO_CALL if is_gone else call for call, is_gone in zip(calls, theirs, strict=True)]
    body = msgspec.json.encode({**envelope, "batch": kept})
    return msgspec.structs.replace(arrival, body=body)


def _needles(users: Iterable[UsersToErase]) -> list[bytes]:
    """Every way in which the wire formats write the names."""
    texts: set[bytes] = set()
    for user in users:
        numbers = {str(raw_id) for raw_id in user.raw_ids if len(str(raw_id)) >= _ID_DIGITS}
        for name in user.names | numbers:
            texts |= set(_written(name))
    return sorted(texts)


def _written(name: str) -> Iterator[bytes]:
    """As JSON with and without escapes, in an address, and plain, as in protobuf."""
    plain = name.encode(errors="surrogatepass")
    if len(plain) < _LONG_ENOUGH:
        yield b'"' + plain + b'"'
        return
    yield plain
    yield msgspec.json.encode(name.encode(errors="replace").decode())[1:-1]
    yield name.encode("ascii", "backslashreplace")
    yield quote(name, safe="", errors="replace").encode()
    yield quote_plus(name, errors="replace").encode()

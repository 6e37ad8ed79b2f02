"""What happens to an event between the log and the store, in this order, a batch at a time.

Nothing here writes to the event store; `writes` does. Every step leaves each event either on its way or with its one
outcome. Times come from the log, not from a clock, so that a repetition after a crash decides the same.
"""

import logging
from collections.abc import Callable
from datetime import datetime

import msgspec

from cairn import ids
from cairn.clock import to_ms
from cairn.event import LONGEST_IP, LONGEST_LIBRARY, LONGEST_USER_AGENT, Arrival, Draft, Kind, Refused
from cairn.ingest.accounts import set_account_properties
from cairn.ingest.batch import PAYLOAD_CHARACTERS, Batch, Item, LoaderResources, Parsed, version_of
from cairn.ingest.enriching import (
    add_device,
    add_landing,
    add_location,
    drop_blocked_pages,
    drop_bots,
    hide_addresses,
    keep_address,
)
from cairn.ingest.first_seen import set_first_seen
from cairn.ingest.limits import limit_names, limit_user_properties, may_add_element
from cairn.ingest.merging import merge_users
from cairn.ingest.sources import send_to_environments
from cairn.ingest.visitors import join_visitors
from cairn.outcomes import Reason
from cairn.store.arrow_tables import element_id, text_of
from cairn.store.schema import IDENTITY_KEY
from cairn.store.store import PropertyChange, SeenElement
from cairn.wire.times import happened_ms

logger = logging.getLogger(__name__)

# ms; a clock that is ahead by less is wrong, and the event is taken; by more, the time means something else
FUTURE_MS = 24 * 3_600_000
# 2000-01-01 UTC: before it, seconds were sent for milliseconds, or no time at all.
OLDEST_MS = 946_684_800_000

Step = Callable[[Batch, LoaderResources], None]
_arrivals = msgspec.msgpack.Decoder(Arrival)


def parse(batch: Batch, resources: LoaderResources) -> None:
    """Read each request with the parser of its wire format. One that cannot be read is refused, and only that one."""
    for item in batch.items:
        try:
            arrival = _arrivals.decode(item.body)
            events = resources.parsers[arrival.parser](arrival)
        except Exception as error:  # a job boundary: one request's fault must not stop the others
            logger.exception("request_unreadable", extra={"log_position": item.log_position})
            batch.refusals.append(unreadable(item, repr(error), resources.clock()))
        else:
            batch.parsed.append(Parsed(arrival, item.log_position, events))


def cut_texts(batch: Batch, resources: LoaderResources) -> None:
    """What a request says once for all its events is stored with each of them, so it must be short."""
    for draft in batch.drafts:
        if len(draft.user_agent) > LONGEST_USER_AGENT:
            draft.user_agent = draft.user_agent[:LONGEST_USER_AGENT]
        if len(draft.library) > LONGEST_LIBRARY:
            draft.library = draft.library[:LONGEST_LIBRARY]
        if len(draft.ip) > LONGEST_IP:
            draft.ip = ""


def correct_clocks(batch: Batch, resources: LoaderResources) -> None:
    """Move a time from the sender's clock to ours, and note how far ours was set back before the receipt.

    Nothing happens after it was received: of a clock that is ahead by less than a day, the time of receipt is used.
    Source: contracts/segment.md 1.5.
    """
    remembered = resources.remembered
    if remembered.newest_ms < 0:
        remembered.newest_ms = resources.store.newest_received_ms()
    newest_ms = remembered.newest_ms
    for draft in batch.drafts:
        received_ms = draft.received_ms
        if received_ms > newest_ms:
            newest_ms = received_ms
        is_ours = draft.time_ms == received_ms  # no time was sent
        if not is_ours and draft.sent_ms:
            is_ours = draft.sent_ms >= draft.time_ms
            draft.time_ms = happened_ms(draft.time_ms, draft.sent_ms, received_ms)
        if received_ms < draft.time_ms <= received_ms + FUTURE_MS:
            draft.time_ms, is_ours = received_ms, True
        if is_ours:
            draft.late_ms = newest_ms - received_ms
    remembered.newest_ms = newest_ms


def check_times(batch: Batch, resources: LoaderResources) -> None:
    kept = []
    for draft in batch.drafts:
        if OLDEST_MS <= draft.time_ms <= draft.received_ms + FUTURE_MS:
            kept.append(draft)
        elif draft.time_ms < OLDEST_MS:
            batch.refuse(draft, Reason.TIME_TOO_OLD, f"timestamp: {draft.time_ms} ms is before the year 2000")
        else:
            ahead_h = (draft.time_ms - draft.received_ms) // 3_600_000
            batch.refuse(draft, Reason.TIME_IN_FUTURE, f"timestamp: {ahead_h} hours ahead of its receipt")
    batch.drafts = kept


def resolve_users(batch: Batch, resources: LoaderResources) -> None:
    """Decide the raw user id: the one given, else the identity's, else the anonymous id's."""
    kept = []
    identified = batch.identified
    anonymous: dict[str, int] = {}
    for draft in batch.drafts:
        canonical_id = 0
        if draft.identity:
            known_as = (draft.environment_id, draft.identity)
            if (user_id := identified.get(known_as)) is None:
                user_id = identified[known_as] = ids.identified_user_id(*known_as)
            canonical_id = user_id
        if not draft.user_id:
            draft.user_id = canonical_id or _anonymous(draft.anonymous_id, anonymous)
        if draft.user_id or draft.account_id:
            kept.append(draft)
        else:
            batch.refuse(draft, Reason.NO_USER, "identity, user_id or anonymous id: one is needed")
    batch.drafts = kept


def name_events(batch: Batch, resources: LoaderResources) -> None:
    """Give each event the id under which a repeat is recognised: from its key, or from its place in the log."""
    for draft in batch.drafts:
        if key := draft.key:
            draft.event_id = ids.event_id(f"{draft.environment_id}/{draft.key_space}", key)
        else:
            # With the time of receipt, so that a log that was started over does not repeat old ids.
            draft.event_id = ids.event_id(
                f"{draft.environment_id}/log", f"{draft.log_position}/{draft.received_ms}"
            )


def drop_repeats(batch: Batch, resources: LoaderResources) -> None:
    """Refuse what is stored already, unless it was stored from this very place in the log: then it is our own
    repetition after a crash, has its outcome, and only its users are named again."""
    event_ids = [draft.event_id for draft in batch.drafts]
    stored = resources.store.known(event_ids)
    if not stored and len(set(event_ids)) == len(event_ids):
        return  # as in nearly all loads
    seen: set[int] = set()
    kept = []
    for draft in batch.drafts:
        if draft.event_id in stored:
            if stored[draft.event_id] == draft.log_position:
                batch.replayed.append(draft)
            else:
                batch.refuse(draft, Reason.REPEATED_ID, _repeated(draft))
        elif draft.event_id in seen:
            batch.refuse(draft, Reason.REPEATED_ID, _repeated(draft))
        else:
            seen.add(draft.event_id)
            kept.append(draft)
    batch.drafts = kept


def set_properties(batch: Batch, resources: LoaderResources) -> None:
    """Collect user properties, and the identity of users not seen before. The newest time wins, then arrival."""
    identities = resources.remembered.identities
    new = {
        known_as: canonical_id
        for known_as, canonical_id in batch.identified.items()
        if identities.get((known_as[0], canonical_id)) is None
    }
    for draft in batch.drafts:
        if draft.kind == Kind.IDENTIFY and not draft.properties:  # so that the event itself says what it did
            draft.properties = dict(draft.user_properties)
            if draft.identity and not draft.properties:
                draft.properties = {IDENTITY_KEY: draft.identity}
        if draft.user_properties:
            for key, value in draft.user_properties.items():
                if (
                    key != IDENTITY_KEY
                ):  # built in: a sender who could set it would be another user in every list
                    _set(batch, draft, draft.user_id, key, text_of(value))
        if not new or not draft.identity:
            continue
        known_as = (draft.environment_id, draft.identity)
        canonical_id = new.get(known_as, 0)
        if canonical_id and (draft.event_id not in batch.not_merged or draft.user_id == canonical_id):
            del new[known_as]
            _set(batch, draft, canonical_id, IDENTITY_KEY, draft.identity)


def name_elements(batch: Batch, resources: LoaderResources) -> None:
    """Give each captured element its number, and collect the shapes not seen before."""
    elements = resources.remembered.elements
    for draft in batch.drafts:
        if draft.element is None:
            continue
        draft.element_id = element_id(draft.element)
        element_key = (draft.environment_id, draft.element_id)
        if element_key not in batch.elements and elements.get(element_key) is None:
            if not may_add_element(draft.environment_id, resources):
                draft.element, draft.element_id = None, 0
                draft.detail = "element: left out; the environment has too many different ones"
                continue
            batch.elements[element_key] = SeenElement(*element_key, draft.element, draft.received_ms)


STEPS: tuple[Step, ...] = (
    parse,
    send_to_environments,
    cut_texts,
    correct_clocks,
    check_times,
    resolve_users,
    name_events,
    drop_repeats,
    drop_bots,
    drop_blocked_pages,
    add_device,
    add_landing,
    add_location,
    limit_names,
    keep_address,  # after add_location: without this it is not stored
    merge_users,  # after drop_repeats: an old event that comes again must not undo an un-merge
    join_visitors,  # after merge_users: a joined visitor belongs to whom its user belongs to
    limit_user_properties,  # after merge_users: of a merge the event is kept
    set_first_seen,
    set_properties,
    set_account_properties,
    name_elements,
    hide_addresses,  # after all that refuse
)


def unreadable(item: Item, detail: str, now: datetime) -> Refused:
    """What stands for a request that our own code failed on."""
    payload = item.body[: PAYLOAD_CHARACTERS * 4].decode(errors="replace")[:PAYLOAD_CHARACTERS]
    try:
        arrival = _arrivals.decode(item.body)
    except msgspec.MsgspecError:
        return Refused(
            0,
            to_ms(now),
            Reason.NOT_STORED,
            f"the log item cannot be read: {detail}",
            payload=payload,
            log_position=item.log_position,
        )
    return Refused(
        arrival.environment_id,
        arrival.received_ms,
        Reason.NOT_STORED,
        f"Cairn failed on this request: {detail}",
        source=arrival.source,
        payload=arrival.body.decode(errors="replace")[:PAYLOAD_CHARACTERS],
        log_position=item.log_position,
    )


def _anonymous(anonymous_id: str, resolved: dict[str, int]) -> int:
    if not anonymous_id:
        return 0
    if (user_id := resolved.get(anonymous_id)) is None:
        user_id = resolved[anonymous_id] = ids.anonymous_user_id(anonymous_id)
    return user_id


def _repeated(draft: Draft) -> str:
    return f"message id or idempotency key {draft.key!r} was stored before" if draft.key else "stored before"


def _set(batch: Batch, draft: Draft, user_id: int, key: str, value: str) -> None:
    version = version_of(draft)
    property_key = (draft.environment_id, user_id, key)
    earlier = batch.properties.get(property_key)
    if earlier is None or version >= earlier.version:
        batch.properties[property_key] = PropertyChange(
            draft.environment_id, user_id, key, value, draft.time_ms, version
        )

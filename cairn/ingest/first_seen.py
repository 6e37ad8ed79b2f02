"""Where and how a user was first seen: the `initial_*` user properties, from the earliest event of a session.

First wins, by the events' own times and whatever the order of arrival: the version of such a property falls as time
rises, so that the store, which keeps the greatest version, keeps the earliest. All of them come from one event. A key
that a later session filled and the earliest one did not is therefore emptied.
Source: contracts/heap.md section 7 (initial_* come from the first session seen).
"""

from collections.abc import Iterator

from cairn.event import Draft, Scalar
from cairn.ingest.batch import Batch, LoaderResources
from cairn.ingest.channel import UTM, Landing, landing_facts
from cairn.log_position import ORDER_BITS, order_of
from cairn.store.arrow_tables import text_of
from cairn.store.schema import FIRST_SEEN_KEY, INITIAL
from cairn.store.store import PropertyChange

_LATEST_MS = (1 << 42) - 1  # ms; the year 2109, beyond every time that is accepted

UserKey = tuple[int, int]  # environment, user


def set_first_seen(batch: Batch, resources: LoaderResources) -> None:
    """Collect the initial properties of users not seen before, or not so early."""
    earliest: dict[UserKey, tuple[int, dict[str, str]]] = {}
    for draft, facts in _sightings(batch):
        user = (draft.environment_id, draft.user_id)
        version = first_version(draft)
        known = earliest.get(user)
        if known is None or version > known[0]:
            earliest[user] = (version, facts)
    if not earliest:
        return
    stored = _stored(list(earliest), resources)
    for user, (version, facts) in earliest.items():
        before = stored.get(user)
        if before is not None and before >= version:
            continue
        for key, name in INITIAL.items():
            value = facts.get(name, "")
            if value or before is not None or key == FIRST_SEEN_KEY:
                change = PropertyChange(*user, key, value, time_of(version), version)
                batch.properties[(*user, key)] = change


def first_version(draft: Draft) -> int:
    """Rises as the event lies earlier, and among equal times as it arrived earlier."""
    order = (1 << ORDER_BITS) - 1 - order_of(draft.log_position)
    return (_LATEST_MS - draft.time_ms - draft.late_ms) << ORDER_BITS | order


def time_of(version: int) -> int:
    return _LATEST_MS - (version >> ORDER_BITS)


def _sightings(batch: Batch) -> Iterator[tuple[Draft, dict[str, str]]]:
    for draft in batch.drafts:
        if draft.user_properties:
            said = _said(draft.user_properties)
            if said:
                yield draft, said
        # A flag SDK's session is a decision of a server; it is not a visit.
        if draft.session_id and draft.facts and not draft.is_visitor:
            yield draft, draft.facts


def _said(properties: dict[str, Scalar]) -> dict[str, str]:
    """What a client itself says of a user's first session, taken off the properties that the newest wins."""
    said = {INITIAL[key]: text_of(properties.pop(key)) for key in INITIAL.keys() & properties.keys()}
    if said:
        landing = Landing(
            said.get("referrer", ""),
            said.get("landing_domain", ""),
            said.get("landing_query", ""),
            tuple([said.get(name, "") for name in UTM]),
            said.get("search_keyword", ""),
        )
        return {**landing_facts(landing), **said}
    return said


def _stored(users: list[UserKey], resources: LoaderResources) -> dict[UserKey, int]:
    """The versions in the store; those looked up are remembered."""
    remembered = resources.remembered.first_seen
    versions: dict[UserKey, int] = {}
    unknown = []
    for user in users:
        version = remembered.get(user)
        if version is None:
            unknown.append(user)
        else:
            versions[user] = version
    for user, version in resources.store.first_seen(unknown).items():
        remembered.put(user, version)
        versions[user] = version
    return versions

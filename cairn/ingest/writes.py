"""Writing a batch so that a crash between any two steps loses nothing and doubles nothing.

Merges are in the metadata database already. Their copy, properties and elements may be written twice without harm. The
events are the commit point: an event in the store has its outcome. Refusals know their place in the log, so those of
an earlier attempt are not written again. The cursor moves last (loader).
"""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from cairn.ingest.batch import Batch, LoaderResources
from cairn.outcomes import Reason
from cairn.store.errors import RowsNotStorable
from cairn.store.schema import FIRST_SEEN_KEY, IDENTITY_KEY
from cairn.wire.refusal import without_keys

logger = logging.getLogger(__name__)

Row = TypeVar("Row")
Write = Callable[[Batch, LoaderResources], None]


def write_merges(batch: Batch, resources: LoaderResources) -> None:
    merged = [merge.change for merge in batch.merges if merge.version]
    resources.store.insert_user_map([*merged, *batch.joined])
    for merge in batch.merges:
        resources.remembered.merges.put((merge.environment_id, merge.user_id), merge.identity)


def write_properties(batch: Batch, resources: LoaderResources) -> None:
    changes = list(batch.properties.values())
    for change, detail in _insert(changes, resources.store.insert_properties):
        logger.error(
            "property_not_stored",
            extra={"environment_id": change.environment_id, "key": change.key, "error": detail},
        )
        del batch.properties[change.environment_id, change.user_id, change.key]
    remembered, stored = resources.remembered, batch.properties.items()
    remembered.identities.put_all(
        {(at[0], at[1]): change.value for at, change in stored if at[2] == IDENTITY_KEY}
    )
    remembered.first_seen.put_all(
        {(at[0], at[1]): change.version for at, change in stored if at[2] == FIRST_SEEN_KEY}
    )


def write_visitors(batch: Batch, resources: LoaderResources) -> None:
    """Before the events: a visitor's events are found by its row."""
    for environment_id, account_id in batch.followed.items():
        resources.store.name_identities(environment_id, account_id)
        resources.followed.environments.add(environment_id)
    resources.store.insert_visitors(list(batch.visitors.values()))
    for row in batch.visitors.values():
        if row.rank:
            resources.remembered.named.put((row.environment_id, row.user_id), row.rank)


def write_accounts(batch: Batch, resources: LoaderResources) -> None:
    for change, detail in _insert(list(batch.accounts.values()), resources.store.insert_account_properties):
        logger.error(
            "account_property_not_stored",
            extra={"environment_id": change.environment_id, "key": change.key, "error": detail},
        )


def write_elements(batch: Batch, resources: LoaderResources) -> None:
    """Before the events that name them: an event must not name a shape that nobody knows."""
    lost = _insert(list(batch.elements.values()), resources.store.insert_elements)
    for seen, detail in lost:
        logger.error("element_not_stored", extra={"environment_id": seen.environment_id, "error": detail})
        del batch.elements[seen.environment_id, seen.element_id]
        for draft in batch.drafts:
            if draft.element_id == seen.element_id:
                draft.element, draft.element_id = None, 0
    for element_key in batch.elements:
        resources.remembered.elements.put(element_key, 1)


def write_events(batch: Batch, resources: LoaderResources) -> None:
    failed = {id(draft): detail for draft, detail in _insert(batch.drafts, resources.store.insert_events)}
    if failed:
        logger.error("events_not_stored", extra={"count": len(failed)})
        for draft in batch.drafts:
            if id(draft) in failed:
                batch.refuse(draft, Reason.NOT_STORED, failed[id(draft)])
        batch.drafts = [draft for draft in batch.drafts if id(draft) not in failed]


def write_refusals(batch: Batch, resources: LoaderResources) -> None:
    """Keys are shortened here, where every refusal passes."""
    if batch.refusals:
        batch.refusals = [without_keys(refused) for refused in batch.refusals]
        resources.store.insert_refusals(batch.refusals)


WRITES: tuple[Write, ...] = (
    write_merges,
    write_properties,
    write_visitors,
    write_accounts,
    write_elements,
    write_events,
    write_refusals,
)


def _insert(rows: Sequence[Row], insert: Callable[[Sequence[Row]], None]) -> list[tuple[Row, str]]:
    """Insert all that can be; return the others, found by halving, each with what is wrong with it."""
    if not rows:
        return []
    try:
        insert(rows)
        return []
    except RowsNotStorable as error:
        if len(rows) == 1:
            return [(rows[0], str(error))]
    middle = len(rows) // 2
    return _insert(rows[:middle], insert) + _insert(rows[middle:], insert)

"""Which users a load touched, for live segments."""

from collections.abc import Iterable

from cairn.event import Draft
from cairn.ingest.batch import Batch
from cairn.ingest.loaded import Loaded
from cairn.ingest.merging import merged_ids
from cairn.store.schema import IDENTITY_KEY


def touched(batch: Batch) -> list[Loaded]:
    """One per environment. Replayed events count too: the load that stored them may not have told anybody."""
    by_environment: dict[int, Loaded] = {}
    _add_events(by_environment, batch.drafts)
    _add_events(by_environment, batch.replayed)
    _add_properties(by_environment, batch.properties)
    for merge in batch.merges:
        _of(by_environment, merge.environment_id).merged.update((merge.user_id, merge.canonical_id))
    for joined in batch.joined:
        _of(by_environment, joined.environment_id).merged.update((joined.user_id, joined.canonical_id))
    for draft in batch.replayed:
        loaded = _of(by_environment, draft.environment_id)
        merged = merged_ids(draft)
        loaded.merged |= merged
        if draft.identity:
            loaded.by_property.setdefault(IDENTITY_KEY, set()).update(merged or {draft.user_id})
        # Where its merge was refused, the event is the identity's and not its device's.
        users = {draft.user_id} | (merged - {draft.merge_user_id})
        loaded.by_event[draft.kind, draft.name] |= users
        for key in draft.user_properties.keys() - {IDENTITY_KEY}:
            loaded.by_property.setdefault(key, set()).update(users)
    return list(by_environment.values())


def _of(by_environment: dict[int, Loaded], environment_id: int) -> Loaded:
    loaded = by_environment.get(environment_id)
    if loaded is None:
        loaded = by_environment[environment_id] = Loaded(environment_id)
    return loaded


def _add_events(by_environment: dict[int, Loaded], drafts: list[Draft]) -> None:
    users: dict[tuple[int, str, str], set[int]] = {}
    for draft in drafts:
        key = (draft.environment_id, draft.kind, draft.name)
        if (of_key := users.get(key)) is None:
            of_key = users[key] = set()
        of_key.add(draft.user_id)
    for (environment_id, kind, name), of_key in users.items():
        _of(by_environment, environment_id).by_event.setdefault((kind, name), set()).update(of_key)


def _add_properties(by_environment: dict[int, Loaded], changed: Iterable[tuple[int, int, str]]) -> None:
    """`changed`: environment, user, key."""
    users: dict[tuple[int, str], set[int]] = {}
    for environment_id, user_id, key in changed:
        if (of_key := users.get((environment_id, key))) is None:
            of_key = users[environment_id, key] = set()
        of_key.add(user_id)
    for (environment_id, key), of_key in users.items():
        _of(by_environment, environment_id).by_property.setdefault(key, set()).update(of_key)

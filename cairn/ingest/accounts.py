"""The loader's step that keeps account properties: with their account, and with nobody's events.

A back end names the account; of a capture client it is the one that the user's Account ID property names by now.
"""

from collections import defaultdict
from collections.abc import Mapping

from cairn.db.engine import reading
from cairn.event import Draft, Kind, Scalar
from cairn.identity.merges import canonical, raw_ids
from cairn.ingest.batch import Batch, LoaderResources, version_of
from cairn.ingest.limits import limited_account
from cairn.outcomes import REASONS, Reason
from cairn.query.newest import newest_values
from cairn.store.arrow_tables import text_of
from cairn.store.store import AccountChange
from cairn.workspace.account_key import account_keys_of

UserKey = tuple[int, int]  # environment, user


def set_account_properties(batch: Batch, resources: LoaderResources) -> None:
    """Must follow `set_properties`: a user may get account and account properties in one batch."""
    changing = [draft for draft in batch.drafts if draft.kind == Kind.ACCOUNT]
    if not changing:
        return
    with reading(resources.engine) as connection:
        keys = account_keys_of(connection, (draft.environment_id for draft in changing))
    unnamed = [draft for draft in changing if not draft.account_id and draft.environment_id in keys]
    accounts = _accounts_of(unnamed, keys, batch, resources)
    for draft in changing:
        account_id = draft.account_id or accounts.get((draft.environment_id, draft.user_id), "")
        if account_id:
            kept = limited_account(draft, account_id, resources)
            _collect(batch, draft, account_id, kept)
            reason = Reason.ACCOUNT_CHANGED if kept or not draft.properties else Reason.TOO_MANY_PROPERTIES
            batch.refuse(draft, reason, f"account {account_id!r} {draft.detail}".strip())
        else:
            reason = Reason.NO_ACCOUNT if draft.environment_id in keys else Reason.NO_ACCOUNT_KEY
            batch.refuse(draft, reason, REASONS[reason][1])
    batch.drafts = [draft for draft in batch.drafts if draft.kind != Kind.ACCOUNT]


def _collect(batch: Batch, draft: Draft, account_id: str, properties: Mapping[str, Scalar]) -> None:
    version = version_of(draft)
    for key, value in properties.items():
        property_key = (draft.environment_id, account_id, key)
        earlier = batch.accounts.get(property_key)
        if earlier is None or version >= earlier.version:
            batch.accounts[property_key] = AccountChange(
                *property_key, text_of(value), draft.time_ms, version
            )


def _accounts_of(
    drafts: list[Draft], keys: Mapping[int, str], batch: Batch, resources: LoaderResources
) -> dict[UserKey, str]:
    """The account each of these users belongs to, after merges."""
    users: defaultdict[int, set[int]] = defaultdict(set)
    for draft in drafts:
        users[draft.environment_id].add(draft.user_id)
    accounts: dict[UserKey, str] = {}
    for environment_id, user_ids in users.items():
        with reading(resources.engine) as connection:
            leads = canonical(connection, environment_id, user_ids)
            own = raw_ids(connection, environment_id, {leads.get(user_id, user_id) for user_id in user_ids})
        raws = {raw for ids in own.values() for raw in ids}
        values = _values(environment_id, keys[environment_id], raws, batch, resources)
        for user_id in user_ids:
            values_of_user = [values[raw] for raw in own[leads.get(user_id, user_id)] if raw in values]
            accounts[environment_id, user_id] = max(values_of_user)[1] if values_of_user else ""
    return accounts


def _values(
    environment_id: int, key: str, raws: set[int], batch: Batch, resources: LoaderResources
) -> dict[int, tuple[int, str]]:
    """(version, value) of the property, of each raw user that has it, stored or in this batch."""
    newest = newest_values(resources.store, environment_id, key, raws)
    for raw in raws:
        change = batch.properties.get((environment_id, raw, key))
        if change is not None and change.version >= newest.get(raw, (0, ""))[0]:
            newest[raw] = (change.version, change.value)
    return newest

"""The loader's steps that bound how many different names one environment, user or account may have.

Anyone with the public app id can send any name, and every name stays: in lists to choose from, on the user's page, in
the columns of the store. What is over a limit is left out, and the event says so; an event of which nothing is left is
refused with its reason. Names that are known already go on being accepted.
"""

from typing import TypeVar

from cairn.event import Draft, Kind, Scalar
from cairn.ingest.batch import Batch, LoaderResources
from cairn.ingest.names import MOST_ELEMENTS
from cairn.outcomes import Reason
from cairn.query.elements import count_rows

Value = TypeVar("Value")


def limit_names(batch: Batch, resources: LoaderResources) -> None:
    """Event names, and the names of their properties."""
    limits, refused = resources.remembered.limits, set()
    for draft in batch.drafts:
        here = draft.environment_id
        names = hash((here, draft.kind, draft.name, *draft.properties))
        if names in limits.counted:
            continue
        if draft.kind == Kind.CUSTOM and limits.event_names.left_out(resources.store, here, {draft.name: 1}):
            batch.refuse(draft, Reason.TOO_MANY_EVENT_NAMES, f"event: {draft.name[:100]!r} is a new name")
            refused.add(id(draft))
            continue
        if draft.properties and draft.kind != Kind.ACCOUNT:
            over = limits.event_properties.left_out(resources.store, here, draft.properties)
            if over:
                draft.properties = _without(draft, "properties", draft.properties, over)
                continue
        limits.note(names)
    _take_off(batch, refused)


def limit_user_properties(batch: Batch, resources: LoaderResources) -> None:
    """After users are resolved, and before anything is collected of them."""
    limits, store, refused = resources.remembered.limits, resources.store, set()
    for draft in batch.drafts:
        if not draft.user_properties:
            continue
        here = draft.environment_id
        over = limits.user_properties.left_out(store, here, draft.user_properties)
        kept = _without(draft, "user properties", draft.user_properties, over)
        over = limits.of_users.left_out(store, here, draft.user_id, kept)
        draft.user_properties = _without(draft, "user properties", kept, over)
        if not draft.user_properties and draft.kind == Kind.IDENTIFY and not draft.merge_user_id:
            batch.refuse(draft, Reason.TOO_MANY_PROPERTIES, draft.detail)
            refused.add(id(draft))
    _take_off(batch, refused)


def limited_account(draft: Draft, account_id: str, resources: LoaderResources) -> dict[str, Scalar]:
    """The properties of the account that may be kept."""
    limits, store, here = resources.remembered.limits, resources.store, draft.environment_id
    over = limits.account_properties.left_out(store, here, draft.properties)
    kept = _without(draft, "account properties", draft.properties, over)
    over = limits.of_accounts.left_out(store, here, account_id, kept)
    return _without(draft, "account properties", kept, over)


def may_add_element(environment_id: int, resources: LoaderResources) -> bool:
    """Whether the environment may have one more shape, which is counted then."""
    counts = resources.remembered.limits.elements
    if environment_id not in counts:
        counts[environment_id] = count_rows(resources.store, environment_id)
    if counts[environment_id] >= MOST_ELEMENTS:
        return False
    counts[environment_id] += 1
    return True


def _without(draft: Draft, what: str, values: dict[str, Value], over: list[str]) -> dict[str, Value]:
    if not over:
        return values
    left_out = set(over)
    note = f"{what}: {len(over)} new names were left out, such as {over[0][:100]!r}; there are too many different ones"
    draft.detail = f"{draft.detail}; {note}" if draft.detail else note
    return {name: value for name, value in values.items() if name not in left_out}


def _take_off(batch: Batch, refused: set[int]) -> None:
    if refused:
        batch.drafts = [draft for draft in batch.drafts if id(draft) not in refused]

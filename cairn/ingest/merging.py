"""The loader's step that gives user ids their identity, in one transaction for a whole batch."""

import sqlalchemy as sa

from cairn import ids
from cairn.clock import from_ms
from cairn.db.engine import Lock, reading, take
from cairn.db.tables import merges
from cairn.event import Draft, Kind
from cairn.identity.joins import joined_to
from cairn.identity.merges import SERVER_IDENTIFY, Merge, MergeRequest, merge_all
from cairn.ingest.batch import Batch, LoaderResources
from cairn.outcomes import REASONS, Reason

HEAP_SERVER = "heap"  # the source of events that came over Heap's server API

User = tuple[int, int]  # environment, raw id


def merge_users(batch: Batch, resources: LoaderResources) -> None:
    """A refused merge refuses an event that carries nothing else; others are kept, with the refusal in their detail.

    An event that names an identity is that identity's, also when its device belongs to somebody else and stays there.
    What a person took apart stays apart: then the event is its device's.
    """
    asking = [draft for draft in batch.drafts if draft.merge_user_id and draft.identity]
    if not asking:
        return
    remembered = resources.remembered
    with reading(resources.engine) as connection:
        remembered.check_history(_history_end(connection))
    asking = [d for d in asking if remembered.merges.get((d.environment_id, d.merge_user_id)) != d.identity]
    if not asking:
        return
    identified = _identified(asking, batch, resources)
    with resources.engine.begin() as connection:
        take(connection, Lock.MERGES)  # before looking: nobody appends between that and what is appended here
        remembered.check_history(_history_end(connection))
        answers = merge_all(connection, [_request(draft, identified) for draft in asking])
    refused: set[int] = set()
    for draft, answer in zip(asking, answers, strict=True):
        if isinstance(answer, Merge):
            batch.merges.append(answer)
            remembered.appended(answer.version)
        elif says_only_who(draft):
            batch.refuse(draft, answer, _detail(draft, answer))
            refused.add(id(draft))
        else:
            draft.detail = f"not merged: {_detail(draft, answer)}"
            batch.not_merged.add(draft.event_id)
            if answer is not Reason.MERGE_TAKEN_BACK:
                draft.user_id = ids.identified_user_id(draft.environment_id, draft.identity)
    if batch.merges:
        with reading(resources.engine) as connection:
            batch.joined = joined_to(connection, [merge.change for merge in batch.merges])
    if refused:
        batch.drafts = [draft for draft in batch.drafts if id(draft) not in refused]


def says_only_who(draft: Draft) -> bool:
    """Whether it is an identify call without properties: nothing is left of it when its merge is refused."""
    return draft.kind == Kind.IDENTIFY and not draft.user_properties


def merged_ids(draft: Draft) -> set[int]:
    """The users that a draft's merge may have changed."""
    if not draft.merge_user_id or not draft.identity:
        return set()
    return {draft.merge_user_id, ids.identified_user_id(draft.environment_id, draft.identity)}


def _identified(asking: list[Draft], batch: Batch, resources: LoaderResources) -> set[User]:
    """Those of the user ids to be merged that are an identity's own, as stored or as seen in this batch."""
    users = {(draft.environment_id, draft.merge_user_id) for draft in asking}
    own = set(batch.identified.values())
    here: set[User] = set()
    if any(user_id in own for _, user_id in users):  # which is rare
        here = {(environment_id, user_id) for (environment_id, _), user_id in batch.identified.items()}
    return (users & here) | resources.store.identified(sorted(users - here))


def _request(draft: Draft, identified: set[User]) -> MergeRequest:
    is_limited = draft.source == HEAP_SERVER and says_only_who(draft)
    cause = SERVER_IDENTIFY if is_limited else f"{draft.kind} from {draft.source}"
    return MergeRequest(
        draft.environment_id,
        draft.merge_user_id,
        draft.identity,
        cause,
        from_ms(draft.received_ms),
        is_explicit=draft.kind == Kind.IDENTIFY,
        is_identified=(draft.environment_id, draft.merge_user_id) in identified,
    )


def _detail(draft: Draft, reason: Reason) -> str:
    return f"user_id {draft.merge_user_id}: {REASONS[reason][1]}"


def _history_end(connection: sa.Connection) -> int:
    return int(connection.execute(sa.select(sa.func.max(merges.c.id))).scalar() or 0)

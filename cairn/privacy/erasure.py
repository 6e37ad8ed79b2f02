"""Who is meant by a request to delete: every raw id and every name of a user, in each environment of a workspace.

A user may be known by an identity in one environment and by a device's id in another, so what is found in one is
looked for in all.
"""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.among import among
from cairn.db.tables import user_map
from cairn.identity.merges import canonical, raw_ids
from cairn.ids import identified_user_id
from cairn.privacy.request import ErasedUser
from cairn.query.newest import naming_values
from cairn.store.erase import UserErasure
from cairn.store.schema import IDENTITY_KEY
from cairn.store.store import Store

NAMING_KEYS = (IDENTITY_KEY, "email", "_email", "anonymous_id")  # user properties whose values name a user
_PER_QUESTION = 5_000  # ids in one IN


class UsersToErase(Struct, frozen=True):
    """The users of a deletion as one environment knows them."""

    environment_id: int
    canonical_ids: frozenset[int]
    raw_ids: frozenset[int]
    identities: frozenset[str]
    other_names: frozenset[str]  # e-mails and anonymous ids, which lists and refusals may hold

    @property
    def erasure(self) -> UserErasure:
        ids = sorted(self.raw_ids)
        # Short numbers are anything's; a refusal names a user by a long one.
        names = self.identities | self.other_names | {str(user_id) for user_id in ids}
        return UserErasure(self.environment_id, tuple(ids), tuple(sorted(names)))

    @property
    def names(self) -> frozenset[str]:
        return self.identities | self.other_names

    def joined(self, other: "UsersToErase") -> "UsersToErase":
        return UsersToErase(
            self.environment_id,
            self.canonical_ids | other.canonical_ids,
            self.raw_ids | other.raw_ids,
            self.identities | other.identities,
            self.other_names | other.other_names,
        )


def find_erased(
    connection: sa.Connection, store: Store, environment_ids: Sequence[int], users: Iterable[ErasedUser]
) -> list[UsersToErase]:
    """Shape: one entry for each environment, also where nothing is known of them."""
    requested = list(users)
    ids = {user.user_id for user in requested if user.user_id}
    identities = {user.identity for user in requested if user.identity}
    for environment_id in environment_ids:
        identities |= _identities_of(connection, store, environment_id, ids)
    return [
        _users_to_erase(connection, store, environment_id, ids, identities)
        for environment_id in environment_ids
    ]


def _identities_of(connection: sa.Connection, store: Store, environment_id: int, ids: set[int]) -> set[str]:
    """The identities behind these ids here."""
    leads = canonical(connection, environment_id, ids)
    canonical_ids = {leads.get(user_id, user_id) for user_id in ids}
    return set(_named(store, environment_id, canonical_ids, (IDENTITY_KEY,))) | _mapped_identities(
        connection, environment_id, canonical_ids
    )


def _users_to_erase(
    connection: sa.Connection, store: Store, environment_id: int, ids: set[int], identities: set[str]
) -> UsersToErase:
    own = {identified_user_id(environment_id, identity) for identity in identities}
    leads = canonical(connection, environment_id, ids | own)
    canonical_ids = {leads.get(user_id, user_id) for user_id in ids | own}
    raws = {raw for members in raw_ids(connection, environment_id, canonical_ids).values() for raw in members}
    raws |= ids | own
    here = _mapped_identities(connection, environment_id, canonical_ids)
    here |= set(_named(store, environment_id, raws, (IDENTITY_KEY,)))
    others = set(_named(store, environment_id, raws, NAMING_KEYS)) - here
    return UsersToErase(
        environment_id,
        frozenset(canonical_ids),
        frozenset(raws),
        frozenset(identities | here),
        frozenset(others - identities),
    )


def _mapped_identities(connection: sa.Connection, environment_id: int, canonical_ids: set[int]) -> set[str]:
    query = sa.select(user_map.c.identity).where(
        user_map.c.environment_id == environment_id,
        among(user_map.c.canonical_id, canonical_ids),
        user_map.c.identity != "",
    )
    return set(connection.execute(query.distinct()).scalars())


def _named(store: Store, environment_id: int, ids: set[int], keys: Sequence[str]) -> list[str]:
    pieces = _pieces(ids)
    return [name for piece in pieces for name in naming_values(store, environment_id, keys, piece)]


def _pieces(ids: set[int]) -> list[list[int]]:
    ordered = sorted(ids)
    return [ordered[start : start + _PER_QUESTION] for start in range(0, len(ordered), _PER_QUESTION)]

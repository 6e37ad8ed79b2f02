"""Identities that have no row yet among the visitors whom flag SDKs name by a hash."""

from cairn.query.newest import NEWEST_VALUE
from cairn.query.scope import Scope
from cairn.store.schema import IDENTITY_KEY
from cairn.store.statement import Limits
from cairn.store.store import Store


def identities_without_visitor(store: Store, environment_id: int, *, rank: int, limit: int) -> dict[int, str]:
    """Raw user -> identity. `rank`: of a visitor who is known by an identity."""
    scope = Scope(environment_id)
    known = scope.visitors(f"rank = {int(rank)}")
    has_visitor = scope.contains("user_id", f"SELECT user_id FROM {known}")
    rows = scope.user_properties("key = {key:String}", f"NOT {has_visitor}")
    sql = f"SELECT user_id, {NEWEST_VALUE} FROM {rows} GROUP BY user_id LIMIT {int(limit)}"
    found = store.query(scope.statement(sql, key=IDENTITY_KEY), Limits(timeout_s=60.0))
    return {int(user_id): str(identity) for user_id, identity in found}

"""For how many users a condition holds, without a segment being made of it."""

from datetime import datetime

from msgspec import Struct

from cairn.clock import to_ms
from cairn.conditions.to_sql import how_many
from cairn.conditions.tree import Condition
from cairn.store.statement import Limits
from cairn.store.store import Store


class Preview(Struct, frozen=True):
    users: int
    identified: int


def preview(
    store: Store, environment_id: int, condition: Condition, now: datetime, *, timeout_s: float = 10.0
) -> Preview:
    """`condition`: with its defined events resolved. Raises Unavailable at the time limit."""
    [counts] = store.query(how_many(environment_id, condition, to_ms(now)), Limits(timeout_s=timeout_s))
    return Preview(*map(int, counts))

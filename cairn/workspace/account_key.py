"""The Account ID property: which user property names the account a user belongs to. One for each project.

Source: contracts/heap.md 2.5.
"""

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from cairn.db.tables import account_keys, environments
from cairn.errors import InvalidInput

LONGEST_KEY = 255  # characters


def read_account_key(connection: sa.Connection, project_id: int) -> str:
    """Empty: none is chosen."""
    query = sa.select(account_keys.c.key).where(account_keys.c.project_id == project_id)
    return connection.execute(query).scalar() or ""


def account_keys_of(connection: sa.Connection, environment_ids: Iterable[int]) -> dict[int, str]:
    """By environment; only those whose project has chosen one."""
    query = (
        sa.select(environments.c.id, account_keys.c.key)
        .join(account_keys, account_keys.c.project_id == environments.c.project_id)
        .where(environments.c.id.in_(sorted(set(environment_ids))))
    )
    return {row.id: row.key for row in connection.execute(query)}


def write_account_key(connection: sa.Connection, project_id: int, key: str, now: datetime) -> str:
    """Choose it; an empty one chooses none. Retroactive: it only says where to look. Raises InvalidInput."""
    chosen = key.strip()
    if len(chosen) > LONGEST_KEY:
        raise InvalidInput(f"key: {LONGEST_KEY} characters are accepted", field="key")
    connection.execute(sa.delete(account_keys).where(account_keys.c.project_id == project_id))
    if chosen:
        row = {"project_id": project_id, "key": chosen, "updated_at": now}
        connection.execute(sa.insert(account_keys).values(**row))
    return chosen

"""A key that is stored twice beside the thing it belongs to: hashed, to be looked up, and sealed, to be shown again."""

import sqlalchemy as sa
from msgspec import Struct

from cairn.ids import key_hash
from cairn.workspace.sealed import Seal


class StoredKey(Struct, frozen=True):
    """In the columns `<name>_hash` and `<name>_sealed` of a table with an `id`."""

    table: sa.Table
    name: str

    def reveal(self, connection: sa.Connection, row_id: int, seal: Seal) -> str:
        """Empty while there is none. The row must exist."""
        query = sa.select(self.table.c[f"{self.name}_sealed"]).where(self.table.c.id == row_id)
        sealed = connection.execute(query).scalar_one()
        return seal.open(sealed) if sealed else ""

    def replace(self, connection: sa.Connection, row_id: int, seal: Seal, key: str) -> str:
        """The key from now on; the old one ends when the directory is published again."""
        columns = {f"{self.name}_hash": key_hash(key), f"{self.name}_sealed": seal.close(key)}
        connection.execute(sa.update(self.table).where(self.table.c.id == row_id).values(**columns))
        return key

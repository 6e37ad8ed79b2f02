"""What the tables of the metadata database are made of: columns and their types.

Ids are small rising integers; times are aware UTC; secrets are hashed (looked up) or sealed (shown again).
"""

from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator


class Moment(TypeDecorator[datetime]):
    """An aware UTC datetime, kept as epoch milliseconds so that both engines agree to the last digit."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value.timestamp() * 1000 // 1)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromtimestamp(value / 1000, UTC)


class NotJson(msgspec.Struct, frozen=True):
    """Stands for a document that is no JSON: no type of ours reads it, so its row fails alone and not the query."""

    why: str


class Json(TypeDecorator[Any]):
    """A document, kept as text because key order carries meaning (contracts/wingify.md 7.1)."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError) as error:
            return NotJson(str(error))


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def id_column() -> Column[int]:
    """Goes with `sqlite_autoincrement`: a deleted id never comes back, nor anything of its former owner."""
    return Column("id", Integer, primary_key=True, autoincrement=True)


def belongs_to(table: str, *, name: str = "") -> Column[int]:
    return Column(
        name or f"{table.rstrip('s')}_id", ForeignKey(f"{table}.id", ondelete="CASCADE"), nullable=False
    )


def switch(name: str, *, default: bool = False) -> Column[bool]:
    return Column(name, sa.Boolean, nullable=False, default=default)


def text(name: str, *, default: str = "") -> Column[str]:
    return Column(name, Text, nullable=False, default=default)


def moment(name: str, *, nullable: bool = False) -> Column[datetime]:
    return Column(name, Moment, nullable=nullable)

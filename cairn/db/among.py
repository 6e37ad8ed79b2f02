"""`column IN (…)` over lists of any length."""

from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import ARRAY, Text, TypeDecorator, TypeEngine


def among(column: sa.ColumnElement[Any], values: Iterable[int] | Iterable[str]) -> sa.ColumnElement[bool]:
    """Whether the column is one of the values.

    The list is one bound value, so the statement's text is the same for every length. SQLAlchemy's `in_` makes a
    parameter of each member: SQLite takes 32,766, and its driver keeps a prepared statement of that size for each
    length it has met.
    """
    bound = sa.bindparam(None, sorted(set(values)), type_=_List(type(column.type)), unique=True)
    return column.bool_op("IN")(_Members(bound))


class _List(TypeDecorator[list[Any]]):
    """An array where the engine has arrays, else JSON."""

    impl = Text
    cache_ok = True

    def __init__(self, item: type[TypeEngine[Any]]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return ARRAY(self.item()) if dialect.name == "postgresql" else Text()

    def process_bind_param(self, value: list[Any] | None, dialect: Dialect) -> Any:
        return value if dialect.name == "postgresql" else msgspec.json.encode(value).decode()


class _Members(FunctionElement[Any]):
    """A list as a column of rows."""

    inherit_cache = True


@compiles(_Members)
def _from_json(members: _Members, compiler: SQLCompiler, **given: Any) -> str:
    return f"(SELECT value FROM json_each({compiler.process(members.clauses, **given)}))"


@compiles(_Members, "postgresql")
def _from_array(members: _Members, compiler: SQLCompiler, **given: Any) -> str:
    return f"(SELECT unnest({compiler.process(members.clauses, **given)}))"

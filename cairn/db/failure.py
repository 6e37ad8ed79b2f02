"""What a failure of the metadata database means to whoever asked: the one place that reads the driver's errors."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from cairn.db.tables import metadata
from cairn.errors import Conflict, InvalidInput, Unavailable

# What people call a column, where it is not its name.
_FIELDS = {"edition": "version"}
_UNIQUE = (sa.UniqueConstraint, sa.PrimaryKeyConstraint, sa.Index)

logger = logging.getLogger(__name__)


@contextmanager
def explained() -> Iterator[None]:
    """Around a transaction. Raises Conflict, InvalidInput and Unavailable in place of the database's own errors."""
    try:
        yield
    except sa.exc.IntegrityError as error:
        raise _conflict(error) from error
    except sa.exc.DataError as error:
        raise InvalidInput(
            "a text holds a character the database cannot keep; leave out control characters"
        ) from error
    except sa.exc.OperationalError as error:
        logger.warning("metadata_database_away", exc_info=error)
        raise Unavailable("the metadata database is busy; try again") from error


def _conflict(error: sa.exc.IntegrityError) -> Conflict:
    columns = _columns(error)
    if not columns:
        return Conflict("somebody else made a contradicting change at the same time; read again and repeat")
    field = _FIELDS.get(columns[-1], columns[-1].removesuffix("_id"))
    return Conflict(
        f"{field}: somebody else made the same at the same time; read again, and choose another or repeat",
        field=field,
    )


def _columns(error: sa.exc.IntegrityError) -> list[str]:
    """Of the unique constraint that was violated; none: it was another kind of constraint."""
    if diagnosis := getattr(error.orig, "diag", None):  # psycopg's
        table = metadata.tables.get(diagnosis.table_name or "")
        for known in (*table.constraints, *table.indexes) if table is not None else ():
            if isinstance(known, _UNIQUE) and known.name == diagnosis.constraint_name:
                return list(known.columns.keys())
        return []
    _, _, named = str(error.orig).partition("UNIQUE constraint failed: ")
    return [column.rpartition(".")[2] for column in named.split(", ") if column]

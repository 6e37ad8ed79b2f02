"""What a failure of the metadata database means to whoever asked: the one place that reads the driver's errors."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import sqlalchemy as sa

from cairn.db.tables import metadata
from cairn.errors import Conflict, InvalidInput, Unavailable

# What people call a column, where it is not its name.
_FIELDS = {"edition": "version"}
# What PostgreSQL says of a value that it cannot keep, by its code. NUL characters are refused before they reach it.
_VALUES = {
    "22001": "a text is too long",
    "22003": "a number is too large",
}
_NO_TEXT = "a text holds a character the database cannot keep; leave out control characters"
_ABOUT_VALUES = (sa.exc.DataError, sa.exc.IntegrityError)
_UNIQUE = (sa.UniqueConstraint, sa.PrimaryKeyConstraint, sa.Index)

logger = logging.getLogger(__name__)


def is_away(error: Exception) -> bool:
    """Whether the database is at fault, whatever was asked of it: gone, busy, full, read-only, not ours to change.

    Trying again may help, and what was to be written must be kept until then.
    """
    if isinstance(error, sa.exc.ProgrammingError):
        return bool(
            _code(error)
        )  # a table or a right is missing; without a code the driver could not even ask
    return isinstance(error, sa.exc.DBAPIError | sa.exc.TimeoutError) and not isinstance(error, _ABOUT_VALUES)


@contextmanager
def explained() -> Iterator[None]:
    """Around a transaction. Raises Conflict, InvalidInput and Unavailable in place of the database's own errors."""
    try:
        yield
    except sa.exc.IntegrityError as error:
        raise _conflict(error) from error
    except sa.exc.DataError as error:
        raise _invalid(error) from error
    except sa.exc.SQLAlchemyError as error:
        if not is_away(error):
            raise
        why = str(getattr(error, "orig", None) or error).partition("\n")[0]
        logger.warning(
            "metadata_database_away", extra={"why": why}
        )  # one line: it is said with every request
        raise Unavailable("the metadata database is busy or away; try again") from error


def _invalid(error: sa.exc.DataError) -> InvalidInput:
    values = error.params if isinstance(error.params, Mapping) else {}
    nul = (name for name, value in values.items() if isinstance(value, str) and "\0" in value)
    field, message = next(nul, ""), _VALUES.get(_code(error), _NO_TEXT)
    return InvalidInput(f"{field}: {message}" if field else message, field=field)


def _code(error: sa.exc.DBAPIError) -> str:
    """PostgreSQL's own; empty: it did not answer, or it is SQLite."""
    return getattr(error.orig, "sqlstate", None) or ""


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

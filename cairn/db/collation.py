"""What PostgreSQL has to be told about text, so that it keeps all of it and orders it as SQLite does."""

import sqlalchemy as sa

from cairn.db.engine import reading
from cairn.errors import Misconfigured


def check_encoding(engine: sa.Engine) -> None:
    """What people write is in any script. Raises Misconfigured."""
    if engine.dialect.name != "postgresql":
        return
    with reading(engine) as connection:
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if encoding != "UTF8":
        raise Misconfigured(
            f"database_url: the database is in {encoding}; make it in UTF8 (CREATE DATABASE … ENCODING 'UTF8' "
            "TEMPLATE template0)",
            field="database_url",
        )


def compare_by_bytes(connection: sa.Connection) -> None:
    """Give every text on PostgreSQL the order that SQLite has, whatever the language of its server.

    Lists look the same on both, and an update of the operating system's rules leaves no index out of order.
    """
    if connection.dialect.name != "postgresql":
        return
    texts = connection.exec_driver_sql(
        "SELECT table_name, column_name, character_maximum_length FROM information_schema.columns "
        "WHERE table_schema = current_schema() AND data_type IN ('text', 'character varying') "
        "AND collation_name IS DISTINCT FROM 'C'"
    )
    alterations: dict[str, list[str]] = {}
    for table, column, length in texts:
        kind = f"varchar({length})" if length else "text"
        alterations.setdefault(table, []).append(f'ALTER COLUMN "{column}" TYPE {kind} COLLATE "C"')
    for table, columns in alterations.items():
        connection.exec_driver_sql(f'ALTER TABLE "{table}" {", ".join(columns)}')

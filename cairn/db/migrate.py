"""Bringing a metadata database to the newest form. Forward only: expand first, contract a release later.

A migration is a dated file in `migrations/versions/`; its name is its revision, so the newest is known by listing
the folder. alembic takes long to import and is needed only when something is to be done.
"""

from pathlib import Path

import sqlalchemy as sa

from cairn.db.collation import check_encoding, compare_by_bytes
from cairn.db.engine import Lock, patient, reading, take
from cairn.errors import Misconfigured

MIGRATIONS = Path(__file__).parent / "migrations"


class DatabaseTooNew(Misconfigured):
    """The database was written by a newer Cairn. Start that version, or restore the backup made before the upgrade."""

    code = "database_too_new"


def migrate(engine: sa.Engine) -> bool:
    """Bring the database to the newest revision; True when there was something to do.

    Guarantee: all or nothing, and safe when several processes start at once. Raises DatabaseTooNew, Misconfigured.
    """
    check_encoding(engine)
    known = revisions()
    current = _current(engine)
    if current == known[-1]:
        return False
    if current is not None and current not in known:
        raise DatabaseTooNew(
            f"the database has revision {current!r}, this Cairn knows up to {known[-1]!r}; start the newer version"
        )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with patient(engine).begin() as connection:
        take(connection, Lock.MIGRATION)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        compare_by_bytes(connection)
    return True


def revisions() -> list[str]:
    """Every revision there is, oldest first."""
    return sorted(path.stem for path in (MIGRATIONS / "versions").glob("*.py") if path.stem != "__init__")


def _current(engine: sa.Engine) -> str | None:
    with reading(engine) as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        revision: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
        return revision

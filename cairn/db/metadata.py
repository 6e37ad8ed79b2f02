"""Opening the metadata database that the settings name, brought to the newest form."""

import time

import sqlalchemy as sa

from cairn.db.engine import open_engine, sqlite_url
from cairn.db.failure import explained
from cairn.db.migrate import migrate
from cairn.errors import Unavailable
from cairn.settings import Settings

# How often a database that is away is looked for.
LOOK_S = 0.5


def open_metadata(settings: Settings) -> sa.Engine:
    """SQLite in the data directory, unless `database_url` names another. Raises DatabaseTooNew, Unavailable."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    engine = open_engine(settings.database_url or sqlite_url(settings.data_dir))
    try:
        with explained():
            migrate(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def wait_for_metadata(settings: Settings) -> sa.Engine:
    """Like `open_metadata`, once the database is there; until then events are accepted and flags decided."""
    while True:
        try:
            return open_metadata(settings)
        except Unavailable:  # it was logged why
            time.sleep(LOOK_S)

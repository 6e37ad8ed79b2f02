"""Opening the metadata database that the settings name, brought to the newest form."""

import sqlalchemy as sa

from cairn.db.engine import open_engine, sqlite_url
from cairn.db.migrate import migrate
from cairn.settings import Settings


def open_metadata(settings: Settings) -> sa.Engine:
    """SQLite in the data directory, unless `database_url` names another. Raises DatabaseTooNew."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    engine = open_engine(settings.database_url or sqlite_url(settings.data_dir))
    try:
        migrate(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine

"""The implementations behind the seams, as the settings choose them: the only place that names them.

Each is imported where it is opened, so that the edge loads no event store.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from cairn.eventlog.log import EventLog
from cairn.members.sets import MembersAndDocuments
from cairn.paths import Paths
from cairn.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy as sa

    from cairn.store.store import Store


def open_log(settings: Settings) -> EventLog:
    """Its file is opened when it is first used: a full disk keeps nobody from starting."""
    from cairn.eventlog.sqlite import SqliteLog

    return SqliteLog(Paths(settings.data_dir).log)


def open_members(settings: Settings) -> MembersAndDocuments:
    from cairn.members.lmdb import open_members

    return open_members(Paths(settings.data_dir).members)


def open_store(settings: Settings, *, on_cut_off: Callable[[], None] = lambda: None) -> "Store":
    """`on_cut_off`: see `open_embedded`. Raises StoreInUse, StoreTooNew."""
    from cairn.store.embedded import open_embedded

    folder = Paths(settings.data_dir).store
    return open_embedded(folder, memory_mb=settings.store_memory_mb, on_cut_off=on_cut_off)


def open_metadata(settings: Settings) -> "sa.Engine":
    """SQLite in the data directory, unless `database_url` names another. Raises DatabaseTooNew, Unavailable."""
    from cairn.db.metadata import open_metadata

    return open_metadata(settings)


def wait_for_metadata(settings: Settings) -> "sa.Engine":
    """The same, however long a database on PostgreSQL is away. Raises DatabaseTooNew."""
    from cairn.db.metadata import wait_for_metadata

    return wait_for_metadata(settings)

"""How a source's pages run the built-in Heap: the settings of its connection to the analytics of an environment."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.routing_tables import connections
from cairn.db.tables import environments, sources
from cairn.errors import InvalidInput
from cairn.routing.destination import Destination
from cairn.routing.device_mode import DEVICE_SETTINGS
from cairn.routing.settings import checked_settings, defaults
from cairn.workspace.source import HEAP, get_source

_Json = dict[str, Any]  # Any: by each setting's kind

# For its settings alone: the loader keeps what the built-in analytics take.
_HEAP = Destination(
    HEAP, "Heap", "The built-in analytics.", DEVICE_SETTINGS, lambda messages, configuration, now: []
)


class InBrowser(Struct, frozen=True):
    """What the source's pages are told of Heap."""

    environment_id: int  # whose analytics they fill
    app_id: str  # of that environment
    settings: _Json  # by DEVICE_SETTINGS, every key
    feeds: int  # environments that the source feeds; with several all events are sent from the server


def read_all_in_browser(connection: sa.Connection, workspace_id: int) -> dict[int, InBrowser]:
    """Source -> what its pages are told. Without sources that have no page, or feed no analytics."""
    rows = connection.execute(
        sa.select(
            connections.c.source_id,
            connections.c.environment_id,
            connections.c.settings,
            environments.c.app_id,
        )
        .join(environments, environments.c.id == connections.c.environment_id)
        .join(sources, sources.c.id == connections.c.source_id)
        .where(environments.c.workspace_id == workspace_id, sources.c.kind == "web")
        .where(connections.c.destination == HEAP, connections.c.is_enabled)
        .order_by(connections.c.id.desc())
    ).all()
    feeds = Counter(row.source_id for row in rows)
    return {
        row.source_id: InBrowser(
            row.environment_id,
            row.app_id,
            defaults(_HEAP) | (row.settings if isinstance(row.settings, dict) else {}),
            feeds[row.source_id],
        )
        for row in rows  # the first one made comes last
    }


def change_in_browser(
    connection: sa.Connection,
    workspace_id: int,
    source_id: int,
    change: Mapping[str, Any],  # Any: by each setting's kind
    *,
    now: datetime,
) -> InBrowser:
    """What `change` does not name stays. Raises SourceNotFound, and InvalidInput naming the setting."""
    get_source(connection, workspace_id, source_id)
    before = read_all_in_browser(connection, workspace_id).get(source_id)
    if before is None:
        raise InvalidInput("browser: this source has no page that loads Heap", field="browser")
    settings = checked_settings(_HEAP, before.settings | dict(change), {})
    if not 0 <= (settings["browserArrayLimit"] or 0) <= 1_000:
        field = "settings.browserArrayLimit"
        raise InvalidInput(f"{field}: expected 0 to 1000", field=field)
    connection.execute(
        sa.update(connections)
        .where(
            connections.c.source_id == source_id,
            connections.c.destination == HEAP,
            connections.c.environment_id == before.environment_id,
        )
        .values(settings=settings, updated_at=now)
    )
    return InBrowser(before.environment_id, before.app_id, settings, before.feeds)

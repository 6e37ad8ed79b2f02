"""Active connections as lanes need them, read again only where something has changed."""

from collections.abc import Callable
from datetime import datetime

import sqlalchemy as sa

from cairn.db.engine import reading
from cairn.errors import CairnError, NotFound
from cairn.routing.connections import Connection, configuration_of, read_active
from cairn.routing.delivery.lane import Setup
from cairn.routing.destination import Configuration, Destination
from cairn.routing.rules import Rules, read_rules
from cairn.routing.settings import checked_settings
from cairn.workspace.sealed import Seal

# The destination with this slug. Raises NotFound.
Find = Callable[[str], Destination]


class Setups:
    def __init__(self, engine: sa.Engine, seal: Seal, find: Find) -> None:
        self._engine, self._seal, self._find = engine, seal, find
        self._known: dict[int, tuple[datetime, Setup]] = {}  # by id, with `updated_at`

    def read(self) -> list[Setup]:
        """Of every connection that is on."""
        with reading(self._engine) as connection:
            active = read_active(connection)
            self._known = {known.id: (known.updated_at, self._setup(connection, known)) for known in active}
        return [setup for _, setup in self._known.values()]

    def _setup(self, connection: sa.Connection, known: Connection) -> Setup:
        earlier = self._known.get(known.id)
        if earlier and earlier[0] == known.updated_at:
            return earlier[1]
        configuration, rules = Configuration({}), Rules()
        try:
            destination = self._find(known.destination)
            configuration = configuration_of(connection, self._seal, known, destination)
            rules = read_rules(known.rules)
            checked_settings(destination, known.settings, configuration.secrets)
        except NotFound as error:
            return Setup(known, None, configuration, rules, str(error))
        except CairnError as error:
            return Setup(known, destination, configuration, rules, str(error))
        return Setup(known, destination, configuration, rules)

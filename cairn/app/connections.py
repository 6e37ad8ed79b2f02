"""Connections from sources to destinations: what there is to choose from, how each is set, and changing it."""

from typing import Annotated, Any

import sqlalchemy as sa
from msgspec import UNSET, Meta, Struct, UnsetType

from cairn.app.call import Call
from cairn.app.editions import CREATED, DELETED, record
from cairn.app.sources import get_source
from cairn.errors import Conflict
from cairn.routing import connections
from cairn.routing.catalogue import DestinationNotFound, catalogue, destination
from cairn.routing.connections import MOST_RETRY_HOURS, Connection, ConnectionChange, ConnectionNotFound
from cairn.routing.destination import Destination
from cairn.routing.rules import check_rules, read_rules, rules_json
from cairn.workspace.edits import check_edition, differences, edition_of, editions_of
from cairn.workspace.environment import Environment

RetryHours = Annotated[int, Meta(ge=1, le=MOST_RETRY_HOURS)]

EDITED = ("name", "is_enabled", "settings", "rules", "retry_hours")

_Json = dict[str, Any]  # Any: by each setting's kind, or rules


class DestinationGone(Conflict):
    """This Cairn has no such destination any more. The connection can be switched off and deleted."""

    code = "destination_gone"


class ConnectionChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays. Of `settings` and `secrets` those that are named; an empty secret is removed."""

    name: str | UnsetType = UNSET
    is_enabled: bool | UnsetType = UNSET
    settings: dict[str, Any] | UnsetType = UNSET  # Any: by each setting's kind
    secrets: dict[str, str] = {}
    rules: dict[str, Any] | UnsetType = UNSET  # Any: routing/rules.py; the whole of them
    retry_hours: RetryHours | UnsetType = UNSET


class ConnectionView(Struct, frozen=True):
    """A connection as people look at it."""

    connection: Connection
    destination: Destination | None  # None: this Cairn has it no more
    secrets: frozenset[str]  # which of them are set
    edition: int


def list_destinations() -> tuple[Destination, ...]:
    """By name."""
    return catalogue()


def get_destination(slug: str) -> Destination:
    """Raises DestinationNotFound."""
    return destination(slug)


def list_connections(
    call: Call, environment: Environment, *, source_id: int | None = None
) -> list[ConnectionView]:
    """In the order they were made, without the built-in analytics. Raises SourceNotFound."""
    if source_id is not None:
        get_source(call, environment, source_id)
    with call.reading() as connection:
        found = connections.list_connections(connection, call.workspace_id, source_id=source_id)
        here = [known for known in found if known.environment_id == environment.id]
        editions = editions_of(connection, "connection", [known.id for known in here])
        secrets = {known.id: connections.secret_names(connection, call.core.seal, known.id) for known in here}
    return [
        ConnectionView(known, _known(known.destination), secrets[known.id], editions.get(known.id, 0))
        for known in here
    ]


def list_all_connections(call: Call, environment: Environment) -> list[Connection]:
    """Of all sources of the environment, in the order they were made; without what only their own pages show."""
    with call.reading() as connection:
        stored = connections.list_connections(connection, call.workspace_id)
    return [entry for entry in stored if entry.environment_id == environment.id]


def get_connection(call: Call, environment: Environment, connection_id: int) -> ConnectionView:
    """Raises ConnectionNotFound, also for one of another environment."""
    with call.reading() as connection:
        return _view(call, connection, _here(call, connection, environment, connection_id))


def create_connection(
    call: Call, environment: Environment, source_id: int, slug: str, wanted: ConnectionChanges
) -> ConnectionView:
    """Delivers what arrives from now on.

    Raises SourceNotFound, DestinationNotFound, InvalidInput naming the setting, and TooManyConnections.
    """
    source, chosen = get_source(call, environment, source_id), destination(slug)
    log_end = call.core.log_end()
    with call.writing() as connection:
        made = connections.create_connection(
            connection,
            call.workspace_id,
            source.id,
            chosen,
            call.core.seal,
            _change(wanted, chosen),
            log_end=log_end,
            now=call.now,
        )
        record(call, connection, "connection", made.id, [CREATED])
        view = _view(call, connection, made)
    call.changed([environment.id])
    return view


def change_connection(
    call: Call,
    environment: Environment,
    connection_id: int,
    changes: ConnectionChanges,
    *,
    expected: int | None = None,
) -> ConnectionView:
    """Switched on again, it delivers what arrives from then on.

    Raises ConnectionNotFound, StaleVersion, InvalidInput naming the setting, and DestinationGone.
    """
    log_end = call.core.log_end()
    with call.writing() as connection:
        before = _here(call, connection, environment, connection_id)
        check_edition(connection, "connection", connection_id, expected)
        chosen = _destination_for(before, changes)
        after = connections.change_connection(
            connection,
            call.workspace_id,
            connection_id,
            chosen,
            call.core.seal,
            _change(changes, chosen),
            log_end=log_end,
            now=call.now,
        )
        what = differences(before, after, EDITED) + (["secrets"] if changes.secrets else [])
        record(call, connection, "connection", connection_id, what)
        view = _view(call, connection, after)
    call.changed([environment.id])
    return view


def delete_connection(
    call: Call, environment: Environment, connection_id: int, *, expected: int | None = None
) -> None:
    """With what is known of its deliveries. Raises ConnectionNotFound and StaleVersion."""
    with call.writing() as connection:
        _here(call, connection, environment, connection_id)
        check_edition(connection, "connection", connection_id, expected)
        connections.delete_connection(connection, call.workspace_id, connection_id)
        record(call, connection, "connection", connection_id, [DELETED])
    call.changed([environment.id])


def copy_connection(
    call: Call, environment: Environment, connection_id: int, target: Environment, source_id: int
) -> ConnectionView:
    """Another one like it, switched off, from a source of `target`. Its secrets are copied, and shown to nobody.

    Raises ConnectionNotFound, SourceNotFound, DestinationGone and TooManyConnections.
    """
    with call.reading() as connection:
        known = _here(call, connection, environment, connection_id)
        chosen = _destination_for(known, ConnectionChanges(settings={}))
        configured = connections.configuration_of(connection, call.core.seal, known, chosen)
    wanted = ConnectionChanges(
        name=known.name,
        is_enabled=False,
        settings=configured.settings,
        secrets=configured.secrets,
        rules=known.rules,
        retry_hours=known.retry_hours,
    )
    return create_connection(call, target, source_id, chosen.slug, wanted)


def _here(call: Call, connection: sa.Connection, environment: Environment, connection_id: int) -> Connection:
    known = connections.get_connection(connection, call.workspace_id, connection_id)
    if known.environment_id != environment.id:
        raise ConnectionNotFound(f"connection {connection_id} belongs to another environment")
    return known


def _view(call: Call, connection: sa.Connection, known: Connection) -> ConnectionView:
    return ConnectionView(
        known,
        _known(known.destination),
        connections.secret_names(connection, call.core.seal, known.id),
        edition_of(connection, "connection", known.id),
    )


def _known(slug: str) -> Destination | None:
    try:
        return destination(slug)
    except DestinationNotFound:
        return None


def _destination_for(known: Connection, changes: ConnectionChanges) -> Destination:
    """Raises DestinationGone where the change needs a destination that is there no more."""
    chosen = _known(known.destination)
    if chosen is not None:
        return chosen
    if changes.settings is UNSET and not changes.secrets:
        return Destination(known.destination, known.destination, "", (), prepare=lambda *_: [])
    raise DestinationGone(f"this Cairn has no destination {known.destination!r} any more")


def _change(changes: ConnectionChanges, chosen: Destination) -> ConnectionChange:
    return ConnectionChange(
        changes.name,
        changes.settings,
        changes.secrets,
        changes.rules if changes.rules is UNSET else checked_rules(changes.rules, chosen),
        changes.retry_hours,
        changes.is_enabled,
    )


def checked_rules(data: Any, chosen: Destination) -> _Json:  # Any: foreign JSON
    """As they are stored. Raises RulesRefused, naming the field."""
    rules = read_rules(data)
    check_rules(rules, chosen)
    return rules_json(rules)

"""Testing a connection, as somebody asks for it: nothing is stored."""

from cairn.app.call import Call
from cairn.app.connections import DestinationGone, get_connection
from cairn.routing import connections
from cairn.routing.trying import Tried, try_out
from cairn.workspace.environment import Environment


def try_connection(call: Call, environment: Environment, connection_id: int) -> Tried:
    """With its stored settings, switched on or off. Raises ConnectionNotFound, DestinationGone and NothingToTry."""
    view = get_connection(call, environment, connection_id)
    if view.destination is None:
        raise DestinationGone(f"this Cairn has no destination {view.connection.destination!r} any more")
    with call.reading() as connection:
        configuration = connections.configuration_of(
            connection, call.core.seal, view.connection, view.destination
        )
    return try_out(view.destination, configuration, call.core.client, call.now)

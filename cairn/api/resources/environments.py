"""Environments and the sources that send into them. Keys are not shown here: pages show them to those who may."""

from msgspec import UNSET, Struct, UnsetType

from cairn.api.endpoint import Endpoint, EnvironmentName, Id, Query
from cairn.app import python_lists, sources
from cairn.app.call import Call
from cairn.workspace.environment import Environment
from cairn.workspace.permission import Verb
from cairn.workspace.source import SourceKind


class EnvironmentChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays."""

    needs_server_key: bool | UnsetType = UNSET  # flag events count only with the server SDK key
    # Python's settings file holds the lists that flags ask about: whoever has the SDK key can read every identity.
    inlines_lists: bool | UnsetType = UNSET


class EnvironmentList(Struct, frozen=True):
    environments: list[Environment]


class ConnectionAnswer(Struct, frozen=True):
    destination: str  # "heap": the built-in analytics
    environment_id: Id
    is_enabled: bool


class SourceAnswer(Struct, frozen=True):
    id: Id
    environment_id: Id
    name: str
    kind: SourceKind
    is_enabled: bool
    connections: list[ConnectionAnswer]


class SourceList(Struct, frozen=True):
    sources: list[SourceAnswer]


class SourceQuery(Query, frozen=True):
    environment: EnvironmentName | None = None


def read_environments(call: Call) -> EnvironmentList:
    """List the environments of the workspace."""
    return EnvironmentList(sources.list_environments(call))


def change_environment(call: Call, environment: EnvironmentName, body: EnvironmentChange) -> Environment:
    """Say which SDK key flag events need, and whether Python's settings file holds the values of lists."""
    here = call.environment(environment)
    if body.needs_server_key is not UNSET:
        here = sources.set_needs_server_key(call, here, is_needed=body.needs_server_key)
    if body.inlines_lists is not UNSET:
        here = python_lists.set_python_lists(call, here, inlines_lists=body.inlines_lists)
    return here


def read_sources(call: Call, query: SourceQuery) -> SourceList:
    """List the sources, and what each is connected to; of one environment when it is given."""
    only = None if query.environment is None else call.environment(query.environment)
    connected: dict[int, list[ConnectionAnswer]] = {}
    for connection in sources.list_connections(call):
        answer = ConnectionAnswer(connection.destination, connection.environment_id, connection.is_enabled)
        connected.setdefault(connection.source_id, []).append(answer)
    return SourceList(
        [
            SourceAnswer(
                source.id,
                source.environment_id,
                source.name,
                source.kind,
                source.is_enabled,
                connected.get(source.id, []),
            )
            for source in sources.list_sources(call, only)
        ]
    )


ENDPOINTS = (
    Endpoint("GET", "/environments", Verb.SEE, read_environments),
    Endpoint(
        "PATCH",
        "/environments/{environment}",
        Verb.CHANGE_KEYS,
        change_environment,
        example={"needs_server_key": True},
    ),
    Endpoint("GET", "/sources", Verb.SEE, read_sources),
)

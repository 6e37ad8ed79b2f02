"""Environments and the sources that send into them. Keys are not shown here: pages show them to those who may."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from cairn.api.endpoint import Endpoint, EnvironmentName, Id, Query, Versioned
from cairn.api.resources.users import EnvironmentQuery
from cairn.app import sources
from cairn.app.call import Call
from cairn.app.device_mode import change_in_browser, read_all_in_browser
from cairn.app.editions import Edited
from cairn.workspace.environment import Environment
from cairn.workspace.permission import Verb
from cairn.workspace.source import Source, SourceKind


class EnvironmentChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays."""

    needs_server_key: bool | UnsetType = UNSET  # flag events count only with the server SDK key
    # Python's settings file holds the lists that flags ask about: anyone with the SDK key can read every identity.
    inlines_lists: bool | UnsetType = UNSET


class EnvironmentList(Struct, frozen=True):
    environments: list[Environment]


class ConnectionAnswer(Struct, frozen=True):
    destination: str  # "heap": the built-in analytics
    environment_id: Id
    is_enabled: bool


class BrowserAnswer(Struct, frozen=True):
    """How the source's pages run Heap."""

    app_id: str  # of the environment that the source feeds
    settings: dict[str, Any]  # Any: by each setting's kind; their names are those of `browser` in a change


class SourceAnswer(Struct, frozen=True):
    id: Id
    environment_id: Id
    name: str
    kind: SourceKind
    is_enabled: bool
    connections: list[ConnectionAnswer]
    browser: BrowserAnswer | None  # null: the source has no page that loads Heap


class SourceList(Struct, frozen=True):
    sources: list[SourceAnswer]


class BrowserChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays. The names are those of Heap's own settings."""

    mode: Literal["device", "cloud"] | UnsetType = UNSET  # events are sent by the browser, or by this server
    variant: Literal["classic", "actions"] | UnsetType = UNSET  # as Heap, or as Heap Web (Actions)
    disableTextCapture: bool | UnsetType = UNSET
    disableTargetText: bool | UnsetType = UNSET
    secureCookie: bool | UnsetType = UNSET
    browserArrayLimit: Annotated[int, Meta(ge=0, le=1_000)] | UnsetType = UNSET


class SourceChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays."""

    is_enabled: bool | UnsetType = UNSET
    browser: BrowserChange | UnsetType = UNSET


class SourceQuery(Query, frozen=True):
    environment: EnvironmentName | None = None


def read_environments(call: Call) -> EnvironmentList:
    """List the environments of the workspace."""
    return EnvironmentList(call.environments())


def read_environment(call: Call, environment: EnvironmentName) -> Versioned[Environment]:
    """Read an environment."""
    return _versioned(sources.read_environment(call, call.environment(environment)))


def change_environment(
    call: Call, environment: EnvironmentName, body: EnvironmentChange, expected: int | None
) -> Versioned[Environment]:
    """Say which SDK key flag events need, and whether Python's settings file holds the values of lists."""
    changed = sources.change_environment(
        call,
        call.environment(environment),
        needs_server_key=None if body.needs_server_key is UNSET else body.needs_server_key,
        inlines_lists=None if body.inlines_lists is UNSET else body.inlines_lists,
        expected=expected,
    )
    return _versioned(changed)


def _versioned(edited: Edited[Environment]) -> Versioned[Environment]:
    return Versioned(edited.value, edited.edition)


def read_sources(call: Call, query: SourceQuery) -> SourceList:
    """List the sources, and what each is connected to; of one environment when it is given."""
    only = None if query.environment is None else call.environment(query.environment)
    return SourceList(_answers(call, sources.list_sources(call, only)))


def read_source(call: Call, source_id: Id, query: EnvironmentQuery) -> Versioned[SourceAnswer]:
    """Read a source."""
    return _source(call, sources.read_source(call, call.environment(query.environment), source_id))


def change_source(
    call: Call, source_id: Id, query: EnvironmentQuery, body: SourceChange, expected: int | None
) -> Versioned[SourceAnswer]:
    """Switch a source on or off, or say how its pages run Heap. What is sent while it is off is refused."""
    environment = call.environment(query.environment)
    source = sources.get_source(call, environment, source_id)
    if body.browser is not UNSET:
        settings = msgspec.to_builtins(body.browser)
        expected = change_in_browser(call, source, settings, expected=expected).edition
    if body.is_enabled is not UNSET:
        sources.switch_source(call, source, is_enabled=body.is_enabled, expected=expected)
    return _source(call, sources.read_source(call, environment, source_id))


def _source(call: Call, edited: Edited[Source]) -> Versioned[SourceAnswer]:
    return Versioned(_answers(call, [edited.value])[0], edited.edition)


def _answers(call: Call, sources_found: Iterable[Source]) -> list[SourceAnswer]:
    connected: dict[int, list[ConnectionAnswer]] = {}
    for connection in sources.list_connections(call):
        answer = ConnectionAnswer(connection.destination, connection.environment_id, connection.is_enabled)
        connected.setdefault(connection.source_id, []).append(answer)
    browsers = read_all_in_browser(call)
    return [
        SourceAnswer(
            source.id,
            source.environment_id,
            source.name,
            source.kind,
            source.is_enabled,
            connected.get(source.id, []),
            BrowserAnswer(found.app_id, found.settings) if (found := browsers.get(source.id)) else None,
        )
        for source in sources_found
    ]


ENDPOINTS = (
    Endpoint("GET", "/environments", Verb.SEE, read_environments),
    Endpoint("GET", "/environments/{environment}", Verb.SEE, read_environment),
    Endpoint(
        "PATCH",
        "/environments/{environment}",
        Verb.CHANGE_KEYS,
        change_environment,
        example={"needs_server_key": True},
    ),
    Endpoint("GET", "/sources", Verb.SEE, read_sources),
    Endpoint("GET", "/sources/{source_id}", Verb.SEE, read_source),
    Endpoint(
        "PATCH", "/sources/{source_id}", Verb.CHANGE_SOURCES, change_source, example={"is_enabled": True}
    ),
)

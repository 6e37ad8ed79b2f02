"""Projects, environments, the sources that send into them, and their keys."""

from collections.abc import Callable, Iterable, Sequence

import sqlalchemy as sa
from msgspec import Struct

from cairn.analysis.overview import Heard, Senders
from cairn.analysis.source_events import RefusedOfSource, RefusedReason, SentBySource, SentName
from cairn.app.call import Call
from cairn.app.editions import Edited, record
from cairn.errors import InvalidInput
from cairn.workspace import environment as environments
from cairn.workspace import source as sources
from cairn.workspace.edits import check_edition, differences, edition_of
from cairn.workspace.environment import Environment, Project
from cairn.workspace.permission import Verb, may
from cairn.workspace.sealed import Seal
from cairn.workspace.source import Connection, Source, SourceKind, SourceNotFound

FIRST_SOURCES: tuple[tuple[str, SourceKind], ...] = (("Website", "web"), ("Server", "server"))


class KeyedSource(Struct, frozen=True):
    source: Source
    write_key: str  # empty: the caller may not see it
    heard_at: int  # epoch ms of its last event in 30 days; 0 none


class Keys(Struct, frozen=True):
    """What clients of one environment need, as far as the caller may see it."""

    sdk_key: str  # empty: the caller may not see it
    server_key: str  # empty: the caller may not see it, or it was not made yet
    sources: list[KeyedSource]


def find_project(call: Call, project_id: int | None) -> Project:
    """The project that is named, or the only one. Raises ProjectNotFound, and InvalidInput when it must be named."""
    with call.reading() as connection:
        projects = environments.list_projects(connection, call.workspace_id)
    if project_id is None:
        if len(projects) > 1:
            raise InvalidInput(
                f"project: this workspace has {len(projects)} projects; name one by its id", field="project"
            )
        return projects[0]
    project = next((project for project in projects if project.id == project_id), None)
    if project is None:
        raise environments.ProjectNotFound(f"no project {project_id} in this workspace", field="project")
    return project


def add_environment(call: Call, project_id: int, *, key: str, name: str, app_id: str = "") -> Environment:
    """With a web and a server source. Raises InvalidInput, ProjectNotFound, EnvironmentKeyTaken and AppIdTaken."""
    with call.writing() as connection:
        made = environments.create_environment(
            connection,
            call.workspace_id,
            project_id,
            call.core.seal,
            key=key,
            name=name,
            now=call.now,
            app_id=app_id,
        )
        for source_name, kind in FIRST_SOURCES:
            sources.create_source(
                connection,
                call.workspace_id,
                made.id,
                call.core.seal,
                name=source_name,
                kind=kind,
                now=call.now,
            )
    call.changed([made.id])
    return made


def set_time_zone(call: Call, project_id: int, time_zone: str) -> None:
    """In which the project's days begin. Raises UnknownTimeZone and ProjectNotFound."""
    with call.writing() as connection:
        environments.set_time_zone(connection, call.workspace_id, project_id, time_zone)


def last_heard(call: Call, environments_asked: Iterable[Environment]) -> dict[int, int]:
    """Environment -> epoch ms of the last thing it got in 30 days, for those that got any."""
    heard = ((environment.id, heard_from(call, environment)) for environment in environments_asked)
    return {number: max(client.last_ms for client in clients) for number, clients in heard if clients}


def list_sources(call: Call, environment: Environment | None = None) -> list[Source]:
    """Of one environment, or of the whole workspace."""
    with call.reading() as connection:
        stored = sources.list_sources(connection, call.workspace_id)
    reached = [source for source in stored if call.reaches(source.environment_id)]
    return [source for source in reached if environment is None or source.environment_id == environment.id]


def list_connections(call: Call) -> list[Connection]:
    """What each source of the workspace is connected to."""
    with call.reading() as connection:
        stored = sources.list_connections(connection, call.workspace_id)
    return [connection for connection in stored if call.reaches(connection.environment_id)]


def heard_from(call: Call, environment: Environment) -> list[Heard]:
    """Sources and libraries that sent something in the last 30 days."""
    return call.ask(environment.id, Senders(call.now))


def sent_lately(
    call: Call, environment: Environment, source: Source
) -> tuple[list[SentName], list[RefusedReason]]:
    """In the last hour, the most frequent first: what arrived, and what was refused."""
    sent = call.ask(environment.id, SentBySource(source.name, call.now))
    return sent, call.ask(environment.id, RefusedOfSource(source.name, call.now))


def read_keys(call: Call, environment: Environment, sources_here: Sequence[Source]) -> Keys:
    """The environment's keys, and the write keys of these sources of it."""
    heard = heard_from(call, environment)
    last = {
        client.source: max(client.last_ms, 0) for client in sorted(heard, key=lambda client: client.last_ms)
    }
    is_shown, seal = may(call.role, Verb.SEE_KEYS), call.core.seal
    with call.reading() as connection:
        return Keys(
            environments.reveal_sdk_key(connection, call.workspace_id, environment.id, seal)
            if is_shown
            else "",
            environments.reveal_server_key(connection, call.workspace_id, environment.id, seal)
            if is_shown
            else "",
            [
                KeyedSource(
                    source,
                    sources.reveal_write_key(connection, call.workspace_id, source.id, seal)
                    if is_shown
                    else "",
                    last.get(source.name, 0),
                )
                for source in sources_here
            ],
        )


def read_sdk_key(call: Call, environment: Environment) -> str:
    """Empty: the caller may not see it."""
    if not may(call.role, Verb.SEE_KEYS):
        return ""
    with call.reading() as connection:
        return environments.reveal_sdk_key(connection, call.workspace_id, environment.id, call.core.seal)


def rotate_sdk_key(call: Call, environment: Environment, *, expected: int | None = None) -> None:
    """The old one ends when the directory is published again. Raises StaleVersion: a new key is not lost unseen."""
    _rotate(call, environment, "SDK key", environments.rotate_sdk_key, expected)


def rotate_server_key(call: Call, environment: Environment, *, expected: int | None = None) -> None:
    """As `rotate_sdk_key`."""
    _rotate(call, environment, "server SDK key", environments.rotate_server_key, expected)


def _rotate(
    call: Call,
    environment: Environment,
    name: str,
    rotate: Callable[[sa.Connection, int, int, Seal], str],
    expected: int | None,
) -> None:
    with call.writing() as connection:
        check_edition(connection, "environment", environment.id, expected)
        record(call, connection, "environment", environment.id, [name])
        rotate(connection, call.workspace_id, environment.id, call.core.seal)
    call.changed([environment.id])


def read_environment(call: Call, environment: Environment) -> Edited[Environment]:
    """With its edition."""
    with call.reading() as connection:
        stored = environments.get_environment(connection, call.workspace_id, environment.id)
        return Edited(stored, edition_of(connection, "environment", environment.id))


def change_environment(
    call: Call,
    environment: Environment,
    *,
    needs_server_key: bool | None = None,
    inlines_lists: bool | None = None,
    expected: int | None = None,
) -> Edited[Environment]:
    """None: it stays. Settings files follow at once, applications at their next poll. Raises StaleVersion.

    `needs_server_key`: flag events count only with the server SDK key, which is made when it is first needed.
    `inlines_lists`: Python's settings file holds the values of lists.
    """
    workspace_id, seal = call.workspace_id, call.core.seal
    with call.writing() as connection:
        check_edition(connection, "environment", environment.id, expected)
        before = environments.get_environment(connection, workspace_id, environment.id)
        if needs_server_key is not None:
            environments.set_needs_server_key(
                connection, workspace_id, environment.id, seal, is_needed=needs_server_key
            )
        if inlines_lists is not None:
            environments.set_inlines_lists(
                connection, workspace_id, environment.id, inlines_lists=inlines_lists
            )
        changed = environments.get_environment(connection, workspace_id, environment.id)
        what = differences(before, changed, ["needs_server_key", "inlines_lists"])
        edition = record(call, connection, "environment", environment.id, what)
    call.changed([environment.id])
    return Edited(changed, edition)


def add_source(call: Call, environment: Environment, *, name: str, kind: SourceKind) -> Source:
    """Raises InvalidInput and SourceNameTaken."""
    with call.writing() as connection:
        made = sources.create_source(
            connection, call.workspace_id, environment.id, call.core.seal, name=name, kind=kind, now=call.now
        )
    call.changed([environment.id])
    return made


def get_source(call: Call, environment: Environment, source_id: int) -> Source:
    """Raises SourceNotFound, also for a source of another environment."""
    with call.reading() as connection:
        source = sources.get_source(connection, call.workspace_id, source_id)
    if source.environment_id != environment.id:
        raise SourceNotFound(f"source {source.id} belongs to another environment")
    return source


def read_source(call: Call, environment: Environment, source_id: int) -> Edited[Source]:
    """With its edition. Raises as `get_source`."""
    source = get_source(call, environment, source_id)
    with call.reading() as connection:
        return Edited(source, edition_of(connection, "source", source_id))


def rotate_write_key(call: Call, source: Source, *, expected: int | None = None) -> None:
    """The old one ends when the directory is published again. Raises SourceNotFound and StaleVersion."""
    with call.writing() as connection:
        check_edition(connection, "source", source.id, expected)
        record(call, connection, "source", source.id, ["write key"])
        sources.rotate_write_key(connection, call.workspace_id, source.id, call.core.seal)
    call.changed([source.environment_id])


def switch_source(
    call: Call, source: Source, *, is_enabled: bool, expected: int | None = None
) -> Edited[Source]:
    """Raises SourceNotFound and StaleVersion."""
    with call.writing() as connection:
        check_edition(connection, "source", source.id, expected)
        what = ["switch"] if is_enabled != source.is_enabled else []
        edition = record(call, connection, "source", source.id, what)
        sources.set_source_enabled(connection, call.workspace_id, source.id, is_enabled=is_enabled)
        switched = sources.get_source(connection, call.workspace_id, source.id)
    call.changed([source.environment_id])
    return Edited(switched, edition)

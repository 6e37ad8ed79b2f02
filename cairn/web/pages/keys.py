"""Sources and keys of one environment: what clients need, ready to paste, and how to change it."""

from datetime import datetime

import sqlalchemy as sa
from msgspec import Struct
from starlette.responses import Response

from cairn.analysis import pulse
from cairn.errors import CairnError, NotFound
from cairn.web import browser_snippet, snippets
from cairn.web.snippets import Snippet
from cairn.web.visit import Page, Visit, get, place_of, post
from cairn.workspace.environment import create_environment, reveal_sdk_key, rotate_sdk_key
from cairn.workspace.permission import Verb
from cairn.workspace.source import (
    KINDS,
    Source,
    create_source,
    get_source,
    list_sources,
    reveal_write_key,
    rotate_write_key,
    set_source_enabled,
)

HIDDEN = "ask-an-editor"  # stands in snippets for keys the member may not see


class KeyedSource(Struct, frozen=True):
    source: Source
    write_key: str
    heard_at: int  # epoch ms of its last event in 30 days; 0 none


class Revealed(Struct, frozen=True):
    """The keys a member may see."""

    sdk_key: str
    sources: list[KeyedSource]


def keys_page(visit: Visit, error: CairnError | None = None) -> Response:
    heard = pulse.heard_from(visit.core.store, visit.here.id, now=visit.now)
    with visit.reading() as connection:
        revealed = _revealed(visit, connection, heard)
    server = next((each for each in revealed.sources if each.source.kind == "server"), None)
    place = place_of(
        visit, write_key=server.write_key if server else HIDDEN, sdk_key=revealed.sdk_key or HIDDEN
    )
    return visit.page(
        "keys.html", status=error.status if error else 200, error=error, revealed=revealed, place=place, heard=heard,
        browser=[browser_snippet.current(place), browser_snippet.neutral(place)],
        heap=_heap(place), segment=_segment(place), flags=_flags(place), may_change=visit.may(Verb.CHANGE_KEYS),
        may_add=visit.may(Verb.CHANGE_SOURCES), may_see=visit.may(Verb.SEE_KEYS), kinds=KINDS,
    )  # fmt: skip


def _revealed(visit: Visit, connection: sa.Connection, heard: list[pulse.Heard]) -> Revealed:
    seal, may_see = visit.core.seal, visit.may(Verb.SEE_KEYS)
    last = {each.source: max(each.last_ms, 0) for each in sorted(heard, key=lambda each: each.last_ms)}
    found = [
        each for each in list_sources(connection, visit.workspace_id) if each.environment_id == visit.here.id
    ]
    keyed = [
        KeyedSource(
            each,
            reveal_write_key(connection, visit.workspace_id, each.id, seal) if may_see else HIDDEN,
            last.get(each.name, 0),
        )
        for each in found
    ]
    return Revealed(
        reveal_sdk_key(connection, visit.workspace_id, visit.here.id, seal) if may_see else "", keyed
    )


def _heap(place: snippets.Place) -> list[Snippet]:
    return [snippets.curl_track(place), snippets.curl_properties(place), snippets.heap_node(place)]


def _segment(place: snippets.Place) -> list[Snippet]:
    return [snippets.segment_node(place), snippets.segment_python(place)]


def _flags(place: snippets.Place) -> list[Snippet]:
    return [snippets.flags_node(place), snippets.flags_python(place)]


def rotate_sdk(visit: Visit) -> Response:
    with visit.core.writing() as connection:
        rotate_sdk_key(connection, visit.workspace_id, visit.here.id, visit.core.seal)
    visit.changed()
    return visit.go(
        visit.url("/keys"), "There is a new SDK key. Give it to every application; the old one is over."
    )


def _own_source(visit: Visit, connection: sa.Connection) -> Source:
    source = get_source(connection, visit.workspace_id, visit.number("source_id"))
    if source.environment_id != visit.here.id:
        raise NotFound(f"source {source.id} belongs to another environment")
    return source


def rotate_write(visit: Visit) -> Response:
    with visit.core.writing() as connection:
        source = _own_source(visit, connection)
        rotate_write_key(connection, visit.workspace_id, source.id, visit.core.seal)
    visit.changed()
    return visit.go(
        visit.url("/keys"), f"Source {source.name} has a new write key. The old one is refused from now on."
    )


def toggle_source(visit: Visit) -> Response:
    with visit.core.writing() as connection:
        source = _own_source(visit, connection)
        set_source_enabled(connection, visit.workspace_id, source.id, is_enabled=visit.form("on") == "1")
    visit.changed()
    return visit.go(visit.url("/keys"))


def add_source(visit: Visit) -> Response:
    kind = next((each for each in KINDS if each == visit.form("kind")), KINDS[0])
    try:
        with visit.core.writing() as connection:
            source = create_source(
                connection, visit.workspace_id, visit.here.id, visit.core.seal, name=visit.form("name"), kind=kind,
                now=visit.now,
            )  # fmt: skip
    except CairnError as error:
        return keys_page(visit, error)
    visit.changed()
    return visit.go(visit.url("/keys"), f"Source {source.name} is ready. Copy its write key into the client.")


def add_environment(visit: Visit) -> Response:
    try:
        with visit.core.writing() as connection:
            made = create_environment(
                connection, visit.workspace_id, visit.here.project_id, visit.core.seal,
                key=visit.form.line("environment_key"), name=visit.form.line("environment_name"), now=visit.now,
                app_id=visit.form.line("app_id"),
            )  # fmt: skip
            _first_sources(visit, connection, made.id, visit.now)
    except CairnError as error:
        error.field = {"key": "environment_key", "name": "environment_name"}.get(error.field, error.field)
        return keys_page(visit, error)
    visit.core.changed(made.id)
    visit.environments.append(("", made))
    return visit.go(
        visit.url("/keys", made), f"Environment {made.name} is ready, with data and keys of its own."
    )


def _first_sources(visit: Visit, connection: sa.Connection, environment_id: int, now: datetime) -> None:
    for name, kind in (("Website", KINDS[0]), ("Server", KINDS[1])):
        create_source(
            connection, visit.workspace_id, environment_id, visit.core.seal, name=name, kind=kind, now=now
        )


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/keys", keys_page),
    post("/env/{environment}/keys/rotate-sdk", rotate_sdk, Verb.CHANGE_KEYS),
    post("/env/{environment}/keys/sources", add_source, Verb.CHANGE_SOURCES),
    post("/env/{environment}/keys/sources/{source_id}/rotate", rotate_write, Verb.CHANGE_KEYS),
    post("/env/{environment}/keys/sources/{source_id}/toggle", toggle_source, Verb.CHANGE_SOURCES),
    post("/env/{environment}/keys/environments", add_environment, Verb.CHANGE_SOURCES),
)

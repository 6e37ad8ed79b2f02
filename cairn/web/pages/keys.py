"""Sources and keys of one environment: what clients need, ready to paste, and how to change it."""

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from cairn.app import device_mode, python_lists, sources
from cairn.app.editions import editions_of
from cairn.errors import CairnError, InvalidInput
from cairn.routing.builtin import InBrowser
from cairn.routing.device_mode import DEVICE_SETTINGS
from cairn.web import browser_snippet, snippets
from cairn.web.portion import portion
from cairn.web.snippets import Snippet
from cairn.web.visit import Page, Visit, client_of, get, post
from cairn.workspace.permission import Verb
from cairn.workspace.source import KINDS, Source

_Json = dict[str, Any]  # Any: by each setting's kind
HIDDEN = "ask-an-editor"  # stands in snippets for keys the member may not see


def keys_page(
    visit: Visit, error: CairnError | None = None, *, typed: dict[int, _Json] | None = None
) -> Response:
    """`typed`: what was typed for browsers of a source, and not taken."""
    heard, stored_sources = (
        sources.heard_from(visit.call, visit.here),
        sources.list_sources(visit.call, visit.here),
    )
    page = portion(stored_sources, visit.ask("from"))
    first = [source for source in stored_sources if source.kind == "server"][:1]  # stands in the snippets
    keys = sources.read_keys(visit.call, visit.here, page.items)
    servers = sources.read_keys(visit.call, visit.here, first).sources
    write_key = servers[0].write_key if servers else ""
    client = client_of(visit, write_key=write_key or HIDDEN, sdk_key=keys.sdk_key or HIDDEN)
    edition = editions_of(visit.call, "environment", [visit.here.id])[visit.here.id]
    editions = editions_of(visit.call, "source", [keyed.source.id for keyed in keys.sources])
    return visit.page(
        "keys.html",
        edition=edition,
        editions=editions,
        status=error.status if error else 200,
        error=error,
        revealed=keys,
        page=page,
        client=client,
        heard=heard,
        typed=typed or {},
        browsers=_browsers(visit, typed or {}),
        device_settings=DEVICE_SETTINGS,
        analytics_js=[browser_snippet.segment(_web_client(visit, stored_sources))],
        browser=[browser_snippet.current(client), browser_snippet.neutral(client)],
        heap=_heap(client),
        segment=_segment(client),
        flags=_flags(client),
        may_change=visit.may(Verb.CHANGE_KEYS),
        may_add=visit.may(Verb.CHANGE_SOURCES),
        may_see=visit.may(Verb.SEE_KEYS),
        kinds=KINDS,
        python_asked_on=python_lists.asked_on(visit.call, visit.here),
    )


def _browsers(visit: Visit, typed: dict[int, _Json]) -> dict[int, InBrowser]:
    found = device_mode.read_all_in_browser(visit.call)
    return {
        source_id: msgspec.structs.replace(browser, settings=typed.get(source_id, browser.settings))
        for source_id, browser in found.items()
    }


def _web_client(visit: Visit, stored_sources: Sequence[Source]) -> snippets.Client:
    """Of the first web source."""
    first = [source for source in stored_sources if source.kind == "web"][:1]
    webs = sources.read_keys(visit.call, visit.here, first).sources
    return client_of(visit, write_key=(webs[0].write_key if webs else "") or HIDDEN)


def _heap(client: snippets.Client) -> list[Snippet]:
    return [snippets.curl_track(client), snippets.curl_properties(client), snippets.heap_node(client)]


def _segment(client: snippets.Client) -> list[Snippet]:
    return [snippets.segment_node(client), snippets.segment_python(client)]


def _flags(client: snippets.Client) -> list[Snippet]:
    return [snippets.flags_node(client), snippets.flags_python(client)]


def rotate_sdk(visit: Visit) -> Response:
    sources.rotate_sdk_key(visit.call, visit.here, expected=visit.seen_edition)
    return visit.go(
        visit.url("/keys"),
        "There is a new SDK key. Give it to every application; the old one no longer works.",
    )


def rotate_server(visit: Visit) -> Response:
    sources.rotate_server_key(visit.call, visit.here, expected=visit.seen_edition)
    return visit.go(visit.url("/keys"), "There is a new server SDK key. The old one is refused from now on.")


def toggle_server_key(visit: Visit) -> Response:
    sources.change_environment(
        visit.call, visit.here, needs_server_key=visit.form("on") == "1", expected=visit.seen_edition
    )
    return visit.go(visit.url("/keys"))


def switch_python_lists(visit: Visit) -> Response:
    changed = sources.change_environment(
        visit.call, visit.here, inlines_lists=visit.form("on") == "1", expected=visit.seen_edition
    ).value
    said = (
        "Lists are written into the settings of Python's SDK."
        if changed.inlines_lists
        else "Lists are left out of the settings of Python's SDK."
    )
    return visit.leave(f"{visit.url('/keys')}#python-lists", said)


def _source_here(visit: Visit) -> Source:
    return sources.get_source(visit.call, visit.here, visit.number("source_id"))


def rotate_write(visit: Visit) -> Response:
    source = _source_here(visit)
    sources.rotate_write_key(visit.call, source, expected=visit.seen_edition)
    return visit.go(
        visit.url("/keys"), f"Source {source.name} has a new write key. The old one is refused from now on."
    )


def toggle_source(visit: Visit) -> Response:
    sources.switch_source(
        visit.call, _source_here(visit), is_enabled=visit.form("on") == "1", expected=visit.seen_edition
    )
    return visit.go(visit.url("/keys"))


def change_in_browser(visit: Visit) -> Response:
    """Every setting stands in the form; a switch that is off is not sent."""
    change = {
        setting.key: visit.form(setting.key) == "1"
        if setting.kind == "switch"
        else visit.form.line(setting.key)
        for setting in DEVICE_SETTINGS
    }
    source = _source_here(visit)
    try:
        device_mode.change_in_browser(visit.call, source, change, expected=visit.seen_edition)
    except InvalidInput as error:
        return keys_page(visit, error, typed={source.id: change})
    return visit.leave(f"{visit.url('/keys')}#in-browser", f"Pages of {source.name} follow within a minute.")


def add_source(visit: Visit) -> Response:
    kind = next((choice for choice in KINDS if choice == visit.form("kind")), KINDS[0])
    try:
        source = sources.add_source(visit.call, visit.here, name=visit.form("name"), kind=kind)
    except CairnError as error:
        return keys_page(visit, error)
    return visit.go(visit.url("/keys"), f"Source {source.name} is ready. Copy its write key into the client.")


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/keys", keys_page),
    post("/env/{environment}/keys/rotate-sdk", rotate_sdk, Verb.CHANGE_KEYS),
    post("/env/{environment}/keys/rotate-server", rotate_server, Verb.CHANGE_KEYS),
    post("/env/{environment}/keys/server-key", toggle_server_key, Verb.CHANGE_KEYS),
    post("/env/{environment}/keys/python-lists", switch_python_lists, Verb.CHANGE_SOURCES),
    post("/env/{environment}/keys/sources", add_source, Verb.CHANGE_SOURCES),
    post("/env/{environment}/keys/sources/{source_id}/rotate", rotate_write, Verb.CHANGE_KEYS),
    post("/env/{environment}/keys/sources/{source_id}/browser", change_in_browser, Verb.CHANGE_SOURCES),
    post("/env/{environment}/keys/sources/{source_id}/toggle", toggle_source, Verb.CHANGE_SOURCES),
)

"""What browsers are told of a source: from its connections to the document that the edge reads."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cairn.db.routing_tables import connections
from cairn.members.sets import MembersAndDocuments
from cairn.paths import Paths
from cairn.published.source_settings import decode, document_name, without_destinations
from cairn.routing.device_mode import (
    ACTIONS,
    CLASSIC,
    DEVICE_SETTINGS,
    BuiltIn,
    cloud_reason,
    source_settings,
)
from cairn.routing.rules import Rules, read_rules
from cairn.routing.settings_document import publish_source_settings
from cairn.workspace.environment import list_environments
from cairn.workspace.sealed import open_seal
from cairn.workspace.source import HEAP, connect_analytics, list_sources
from cairn.workspace.workspace import create_workspace
from tests.databases import open_test_metadata
from tests.seams import open_members

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NO_RULES = Rules()


def device(rules: Rules = NO_RULES, **settings: Any) -> dict[str, Any]:
    return source_settings("web", [BuiltIn(7, "123", settings, rules)])


def test_a_web_source_loads_heap_with_the_environments_app_id() -> None:
    settings = device()
    assert settings["integrations"][CLASSIC] == {
        "appId": "123",
        "bundlingStatus": "bundled",
        "type": "browser",
        "versionSettings": {"version": "2.1.1", "componentTypes": ["browser"]},
    }
    segment = settings["integrations"]["Segment.io"]
    assert segment["maybeBundledConfigIds"] == {CLASSIC: ["connection/7"]}
    assert segment["unbundledIntegrations"] == [] and settings["metrics"] == {"sampleRate": 0}


@pytest.mark.parametrize("key", ["disableTextCapture", "disableTargetText"])
def test_privacy_switches_reach_the_library(key: str) -> None:
    assert device(**{key: True})["integrations"][CLASSIC][key] is True
    assert key not in device(**{key: False})["integrations"][CLASSIC]
    plugin = device(variant="actions", **{key: True})["remotePlugins"][0]
    assert plugin["settings"]["disableTextCapture"] is True


def test_the_actions_variant_is_a_plugin_that_bundled_names() -> None:
    settings = device(variant="actions", browserArrayLimit=5, secureCookie=True)
    assert CLASSIC not in settings["integrations"]
    assert settings["integrations"][ACTIONS] == {
        "bundlingStatus": "bundled",
        "versionSettings": {"componentTypes": []},
    }
    [plugin] = settings["remotePlugins"]
    assert (plugin["name"], plugin["creationName"]) == (ACTIONS, ACTIONS)
    assert plugin["libraryName"] == "heap-webDestination"
    assert plugin["url"].startswith("/next-integrations/actions/heap-web/")
    assert plugin["settings"]["appId"] == "123" and plugin["settings"]["browserArrayLimit"] == 5
    assert [action["partnerAction"] for action in plugin["settings"]["subscriptions"]] == [
        "trackEvent",
        "identifyUser",
    ]


CLOUD = [
    pytest.param("server", [BuiltIn(7, "123", {})], id="a server's source"),
    pytest.param("web", [BuiltIn(7, "123", {"mode": "cloud"})], id="chosen"),
    pytest.param("web", [BuiltIn(7, "123", {}), BuiltIn(8, "9", {})], id="two environments"),
]


@pytest.mark.parametrize(("kind", "built_in"), CLOUD)
def test_what_is_sent_from_here_is_not_loaded_in_the_browser(kind: str, built_in: list[BuiltIn]) -> None:
    settings = source_settings(kind, built_in)
    assert list(settings["integrations"]) == ["Segment.io"] and settings["remotePlugins"] == []
    assert settings["integrations"]["Segment.io"]["unbundledIntegrations"] == [CLASSIC]


def test_a_source_that_feeds_nothing() -> None:
    assert source_settings("web", []) == without_destinations()


def test_rules_of_the_connection_hold_in_the_browser() -> None:
    rules = Rules(events={"Salary Viewed": False, "Paid": True}, consent=("Analytics",))
    settings = device(rules)
    track = settings["plan"]["track"]
    assert track["Salary Viewed"] == {"enabled": True, "integrations": {CLASSIC: False}}
    assert track["Paid"] == {"enabled": True, "integrations": {}} and track["__default"]["enabled"]
    assert settings["integrations"][CLASSIC]["consentSettings"] == {"categories": ["Analytics"]}
    assert settings["consentSettings"] == {"allCategories": ["Analytics"], "hasUnmappedDestinations": False}


def test_filters_of_the_connection_are_the_browsers_routing_rules() -> None:
    rules = read_rules({"filters": [{"condition": "event = 'Internal Ping'"}]})
    assert device(rules)["middlewareSettings"]["routingRules"] == [
        {
            "destinationName": CLASSIC,
            "scope": "destinations",
            "target_type": "workspace::project::destination::config",
            "matchers": [
                {
                    "type": "fql",
                    "ir": '["=","event",{"value":"Internal Ping"}]',
                    "config": {"expr": "event = 'Internal Ping'"},
                }
            ],
            "transformers": [[{"type": "drop"}]],
        }
    ]
    assert device()["middlewareSettings"]["routingRules"] == []


NOT_IN_BROWSER = [
    pytest.param(
        {"filters": [{"condition": "'a' in properties.tags", "name": "Tags"}]},
        "filter Tags: the browser cannot look into the list properties.tags",
        id="a filter it reads differently",
    ),
    pytest.param(
        {"filters": [{"condition": "true", "action": "sample", "percent": 5, "path": "userId"}]},
        "filter true: the browser's client keeps every event of a sample by userId",
        id="a sample by a path",
    ),
    pytest.param(
        {"transformations": [{"kind": "drop", "path": "traits"}]}, "transformations: ", id="a transformation"
    ),
    pytest.param({"mappings": [{"trigger": "true"}]}, "mappings: ", id="a mapping"),
]


@pytest.mark.parametrize(("rules", "reason"), NOT_IN_BROWSER)
def test_what_the_browser_cannot_decide_is_not_sent_by_it(rules: dict[str, Any], reason: str) -> None:
    settings = device(read_rules(rules))
    assert list(settings["integrations"]) == ["Segment.io"]
    assert settings["integrations"]["Segment.io"]["unbundledIntegrations"] == [CLASSIC]
    assert cloud_reason(read_rules(rules)).startswith(reason)
    assert cloud_reason(Rules()) == ""


def test_every_setting_has_help_and_a_default_of_its_kind() -> None:
    for setting in DEVICE_SETTINGS:
        assert setting.label and setting.help.endswith(".")
        if setting.choices:
            assert setting.default in [value for value, _ in setting.choices]


def published(engine: sa.Engine, members: MembersAndDocuments, environment_id: int, source_id: int) -> Any:
    with engine.begin() as connection:
        publish_source_settings(connection, members, environment_id)
    document = members.document(document_name(source_id))
    assert document is not None
    return decode(document)["integrations"]


def test_documents_follow_connections_and_never_cross_sources(tmp_path: Path) -> None:
    engine = open_test_metadata(tmp_path)
    members = open_members(Paths(tmp_path).members)
    with engine.begin() as connection:
        workspace = create_workspace(connection, open_seal(tmp_path), name="Shop", now=NOW)
        production, development = list_environments(connection, workspace.id)
        known = list_sources(connection, workspace.id)
    web, server = (source for source in known if source.environment_id == production.id)
    others = [source.id for source in known if source.environment_id != production.id]
    loaded = published(engine, members, production.id, web.id)
    assert loaded[CLASSIC]["appId"] == production.app_id
    assert CLASSIC not in published(engine, members, production.id, server.id)
    assert [members.document(document_name(source_id)) for source_id in others] == [None, None]
    changes = members.changes()
    assert published(engine, members, production.id, web.id) == loaded and members.changes() == changes

    def connect(environment_id: int, *, is_enabled: bool) -> None:
        with engine.begin() as connection:
            connect_analytics(
                connection, workspace.id, web.id, environment_id, is_enabled=is_enabled, now=NOW
            )

    connect(development.id, is_enabled=True)
    assert CLASSIC not in published(engine, members, production.id, web.id)
    connect(production.id, is_enabled=False)
    assert published(engine, members, production.id, web.id)[CLASSIC]["appId"] == development.app_id
    unreadable: list[dict[str, Any]] = [{"settings": "x"}, {"settings": {}, "rules": {"events": 7}}]
    for wrong in unreadable:
        with engine.begin() as connection:
            connection.execute(
                sa.update(connections).where(connections.c.destination == HEAP).values(**wrong)
            )
        assert CLASSIC not in published(engine, members, production.id, web.id)
    members.close()
    engine.dispose()

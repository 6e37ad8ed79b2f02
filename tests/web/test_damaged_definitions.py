"""A stored definition that cannot be read fails alone: pages, API, publishing and the gateway go on without it.

Each document of the metadata database is damaged as a hand in the database, a bad disk or a newer Cairn would.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.testclient import TestClient

from cairn.api.app import build_api
from cairn.app import defined_events, flags, partner_apps, privacy, rules, segments, syncs
from cairn.app.call import Call
from cairn.conditions.tree import Attribute, UserProperty
from cairn.db.columns import Json
from cairn.db.engine import reading
from cairn.db.tables import metadata
from cairn.definitions.model import Definition, NewDefinedEvent, Part
from cairn.flags import groups
from cairn.flags.definition import NewFlag
from cairn.flags.model import Allocation, Metric, Variable, Variation
from cairn.flags.rule_definition import NewRule
from cairn.members.sets import MembersAndDocuments
from cairn.privacy.capture import CaptureSettings
from cairn.privacy.request import ErasedUser, ask_deletion
from cairn.published.settings_file import document_name
from cairn.publisher import Publisher
from cairn.segments.definition import NewSegment
from cairn.sync.new_target import NewTarget
from cairn.sync.partner_apps import NewPartnerApp
from cairn.workspace.api_token import create_token
from cairn.workspace.permission import Role
from tests.web.conftest import NOW, Browser, World
from tests.web.editing import HERE

BROKEN, FINE = "brokenone", "fineone"
DAMAGES = [
    pytest.param("{not json", id="no JSON"),
    pytest.param("null", id="null"),
    pytest.param('"text"', id="a text"),
    pytest.param('{"type": "of the future"}', id="of a newer Cairn"),
    pytest.param("[1, 2]", id="numbers"),
    pytest.param("[" * 3_000, id="deeper than any parser goes"),
]
TRIED_EVERYWHERE = (
    "{not json",
    '{"type": "of the future"}',
)  # on every page; the others where the thing is looked at
# Table, column -> the page of the thing, its API path, and what that answers beside 200: part of `unreadable` fields.
WHERE = {
    ("segments", "condition"): ("/segments/{segment}", "/segments/{segment}"),
    ("defined_events", "body"): ("/events/{event}", "/defined-events/{event}"),
    ("flags", "variables"): (f"/flags/{BROKEN}", f"/flags/{BROKEN}"),
    ("flags", "variations"): (f"/flags/{BROKEN}", f"/flags/{BROKEN}"),
    ("flags", "metrics"): (f"/flags/{BROKEN}", f"/flags/{BROKEN}"),
    ("rules", "body"): (f"/flags/{BROKEN}", f"/flags/{BROKEN}/environments/production/rules"),
    ("flag_groups", "body"): (f"/flags/{BROKEN}", f"/flags/{BROKEN}/environments/production"),
    ("holdouts", "body"): (f"/flags/{BROKEN}", f"/flags/{BROKEN}/environments/production"),
    ("capture_settings", "body"): ("/privacy", "/capture?environment=production"),
}
# Documents that no page or endpoint shows as such; damaged, they break nothing either.
UNSEEN = [
    ("edits", "what"),
    ("connections", "settings"),
    ("connections", "rules"),
    ("deletions", "receipt"),
    ("partner_apps", "redirect_uris"),
    ("sync_targets", "settings"),
]
# Jobs are read by the worker, which sets the one aside; the rest of a deletion by its job.
# A message of a hook is read by what sends it, and what delivery notes of single messages by what shows that one.
ELSEWHERE = {
    ("jobs", "payload"),
    ("deletions", "users"),
    ("deletions", "found"),
    ("outbound_messages", "body"),
    ("delivery_erasures", "names"),
    *(
        (table, column)
        for table in ("delivery_samples", "dead_letters")
        for column in ("message", "request", "answer")
    ),
}
PAGES = [
    "",
    "/users",
    "/segments",
    "/segments/new",
    "/flags",
    "/flags?archived=1",
    "/events",
    "/events/new",
    "/live",
    "/keys",
    "/privacy",
    "/accounts",
    "/environments",
    "/directory",
    "/partner-apps",
    "/partner-apps/{app}",
    f"/flags/{FINE}",
    f"/flags/{FINE}/variables",
    f"/flags/{FINE}/metrics",
    f"/flags/{FINE}/sdk",
    f"/flags/{FINE}/rules/new",
    "/segments/{fine_segment}",
    "/events/{fine_event}",
    f"/flags/{FINE}?as=ann",
]
# Every page of what is damaged: where it is looked at, tried and repaired.
OWN_PAGES = [
    "/segments/{segment}",
    "/segments/{segment}/edit",
    "/segments/{segment}?user=ann",
    "/events/{event}",
    "/events/{event}/edit",
    f"/flags/{BROKEN}?as=ann",
    f"/flags/{BROKEN}/variables",
    f"/flags/{BROKEN}/metrics",
    f"/flags/{BROKEN}/sdk",
    f"/flags/{BROKEN}/rules/new",
    f"/flags/{BROKEN}/rules/{{rule}}/edit",
]
LISTS = [
    "/segments",
    "/flags",
    "/defined-events",
    "/deletions",
    "/environments",
    "/sources",
    f"/flags/{FINE}/environments/production/rules",
    "/defined-events/findings?environment=production",
]


class Made:
    """Two of everything: one to be damaged, one beside it."""

    def __init__(self, world: World) -> None:
        self.world = world
        call = Call(world.core, world.a.workspace_id, "ann", Role.OWNER, NOW)
        here, project = world.a.environment, world.a.environment.project_id
        self.ids: dict[str, int] = {}
        grouped: list[int] = []
        for prefix, name in (("", BROKEN), ("fine_", FINE)):
            new = NewSegment(key=name, name=name, condition=UserProperty("plan", "is", name))
            self.ids[f"{prefix}segment"] = segments.create_segment(call, project, new).value.id
            event = NewDefinedEvent(name, Definition((Part("custom", name),)))
            self.ids[f"{prefix}event"] = defined_events.create_defined_event(call, project, event).value.id
            flag = flags.create_flag(call, project, _flag(name)).value.flag.id
            self.ids[f"{prefix}flag"] = flag
            rule = NewRule("rollout", name, (Allocation(1),), condition=Attribute("plan", "is", "premium"))
            self.ids[f"{prefix}rule"] = rules.add_rule(call, flag, here, rule).value.id
            for key in ("p1", "p2") if name == FINE else ():
                personal = NewRule("personalise", key, (Allocation(1),))
                grouped.append(rules.add_rule(call, flag, here, personal).value.id)
            flags.switch_flag(call, flag, here, is_on=True)
        privacy.change_capture(call, here, CaptureSettings(mode="block", pages=("/secret",)))
        webhook = NewTarget("webhook", "Hook", "https://hooks.example/")
        syncs.create_target(call, here, webhook)
        app = NewPartnerApp("App", ("https://app.example/",), "https://app.example/")
        self.ids["app"] = partner_apps.register_app(call, app)[0].id
        with world.core.writing() as connection:
            held = groups.NewHoldout(name="Held", traffic=5)
            groups.add_holdout(connection, world.a.workspace_id, here.id, held)
            group = groups.NewGroup(name="Grouped", rule_ids=tuple(grouped))
            groups.add_group(connection, world.a.workspace_id, here.id, group)
            ask_deletion(connection, world.a.workspace_id, [ErasedUser(identity="gone")], by="ann", now=NOW)
            self.token = create_token(connection, world.a.workspace_id, name="t", role=Role.OWNER, now=NOW)[1]

    def path(self, template: str) -> str:
        return template.format(**self.ids)

    @contextmanager
    def damaged(self, table: str, column: str, text: str) -> Iterator[None]:
        """In the first row of the table: what was made first."""
        engine = self.world.core.engine
        key = "environment_id" if table == "capture_settings" else "id"
        first = f"(SELECT MIN({key}) FROM {table})"
        with engine.begin() as connection:
            before = connection.exec_driver_sql(
                f"SELECT {column} FROM {table} WHERE {key} = {first}"
            ).scalar()
            write = sa.text(f"UPDATE {table} SET {column} = :text WHERE {key} = {first}")
            assert connection.execute(write, {"text": text}).rowcount == 1
        try:
            yield
        finally:
            with engine.begin() as connection:
                connection.execute(write, {"text": before})


def _flag(name: str) -> NewFlag:
    return NewFlag(
        key=name,
        name=name,
        variables=(Variable(1, "color", "string", "grey"),),
        variations=(Variation(1, "on"), Variation(2, "off")),
        metrics=(Metric(1, "bought"),),
    )


@pytest.fixture(scope="module")
def made(world: World) -> Made:
    return Made(world)


@pytest.fixture
def api(world: World, made: Made) -> Iterator[Callable[..., Any]]:
    with TestClient(Starlette(routes=build_api(world.core))) as client:

        def ask(method: str, path: str, body: Any = None) -> Any:
            headers = {"Authorization": f"Bearer {made.token}"}
            sent = {} if body is None else {"json": body}
            return client.request(method, f"/api/v1{made.path(path)}", headers=headers, **sent)

        yield ask


def publish(world: World) -> Publisher:
    members = cast(MembersAndDocuments, world.core.members)  # the one store is both
    publisher = Publisher(world.core.engine, members, world.core.settings)
    publisher.publish_all()
    return publisher


def settings_file(world: World) -> bytes:
    return (
        cast(MembersAndDocuments, world.core.members).document(document_name(world.a.environment.id, "node"))
        or b""
    )


def test_every_stored_document_is_damaged_here() -> None:
    stored = {
        (table.name, column.name)
        for table in metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, Json)
    }
    assert stored == {*WHERE, *UNSEEN, *ELSEWHERE}


# Every kind of damage in one document, and two kinds, one that no JSON and one that a newer Cairn wrote, in the others.
CASES = [
    pytest.param(place, damage.values[0], id=f"{'.'.join(place)}-{damage.id}")
    for place in [*WHERE, *UNSEEN]
    for damage in DAMAGES
    if place == ("segments", "condition") or damage.values[0] in TRIED_EVERYWHERE
]


@pytest.mark.parametrize(("place", "damage"), CASES)
def test_what_cannot_be_read_fails_alone(
    world: World, made: Made, owner: Browser, api: Callable[..., Any], place: tuple[str, str], damage: str
) -> None:
    publish(world)
    with made.damaged(*place, damage):
        changed = f"Renamed {' '.join(place)} {len(damage)}"
        assert api("PATCH", f"/flags/{FINE}", {"name": changed}).status_code == 200
        publisher = publish(world)
        is_held = place[0] in ("flag_groups", "holdouts")
        assert (changed.encode() in settings_file(world)) is not is_held, (
            "changes of the others are published"
        )
        for path in PAGES if damage == "{not json" else ("",):
            answer = owner.get(HERE + made.path(path))
            assert answer.status_code == 200, (path, answer.text)
        for path in ("/segments", "/flags", "/events"):
            assert FINE in owner.get(HERE + path).text and BROKEN in owner.get(HERE + path).text
        for path in LISTS:
            assert api("GET", path).status_code == 200, path
        if place in WHERE:
            page, path = WHERE[place]
            shown = owner.get(HERE + made.path(page))
            assert (shown.status_code, "cannot be read" in shown.text) == (200, True), shown.text
            told = api("GET", path)
            assert (told.status_code, "cannot be read" in told.text) == (200, True), told.text
            for path in OWN_PAGES if damage in TRIED_EVERYWHERE else ():
                answer = owner.get(HERE + made.path(path))
                is_told = answer.status_code == 409 and "cannot be read" in answer.text
                assert answer.status_code == 200 or is_told, (path, answer.text)
        if place[0] in ("flags", "rules"):
            assert BROKEN.encode() in settings_file(world), "it stays as it was published last"
            assert any(BROKEN in text for text in publisher.warnings[world.a.environment.id])
        if is_held:
            assert BROKEN.encode() in settings_file(world), (
                "the last good file stays: nobody leaves a holdout"
            )
    publish(world)
    assert BROKEN.encode() in settings_file(world)


REPAIRED = [
    pytest.param(
        "segments",
        "condition",
        "PATCH",
        "/segments/{segment}",
        {"name": "other"},
        {"condition": {"type": "user_property", "key": "plan", "operator": "is_set"}},
        id="segment",
    ),
    pytest.param(
        "defined_events",
        "body",
        "PATCH",
        "/defined-events/{event}",
        {"category": "c"},
        {"definition": {"parts": [{"kind": "custom", "name": "repaired"}]}},
        id="defined event",
    ),
    pytest.param("flags", "variables", "PATCH", f"/flags/{BROKEN}", None, {"variables": []}, id="variables"),
    pytest.param("flags", "metrics", "PATCH", f"/flags/{BROKEN}", None, {"metrics": []}, id="metrics"),
    pytest.param(
        "rules",
        "body",
        "PATCH",
        f"/flags/{BROKEN}/environments/production/rules/{{rule}}",
        None,
        {"condition": {"type": "and", "nodes": []}, "traffic": 5, "allocations": [{"variation_id": 1}]},
        id="rule",
    ),
    pytest.param(
        "capture_settings",
        "body",
        "PUT",
        "/capture?environment=production",
        None,
        {"mode": "all"},
        id="capture settings",
    ),
]


@pytest.mark.parametrize(("table", "column", "method", "path", "beside", "repair"), REPAIRED)
def test_what_cannot_be_read_is_mended_by_sending_it_anew_and_never_overwritten_unseen(
    world: World,
    made: Made,
    api: Callable[..., Any],
    table: str,
    column: str,
    method: str,
    path: str,
    beside: Any,
    repair: Any,
) -> None:
    with made.damaged(table, column, "{not json"):
        if beside is not None:
            assert api(method, path, beside).status_code == 200
        elif method == "PATCH":
            refused = api(method, path, {"name": "unseen"})
            assert (refused.status_code, refused.json()["code"]) == (409, "definition_damaged"), refused.text
        with reading(world.core.engine) as connection:
            kept = connection.exec_driver_sql(f"SELECT {column} FROM {table}").scalars().all()
        assert "{not json" in kept, "what was not sent stays as it is, to be restored by hand"
        repaired = api(method, path, repair)
        assert repaired.status_code == 200, repaired.text
        assert "cannot be read" not in api("GET", path).text


def test_a_rule_that_cannot_be_read_can_be_deleted_and_moved(made: Made, api: Callable[..., Any]) -> None:
    at = f"/flags/{BROKEN}/environments/production/rules"
    with made.damaged("rules", "body", "{not json"):
        assert api("PUT", f"{at}/{{rule}}/position", {"position": 0}).status_code == 200
        assert api("PUT", f"{at}/{{rule}}/state", {"is_on": False}).status_code == 409


def test_a_flag_with_an_unreadable_rule_changes_otherwise(made: Made, api: Callable[..., Any]) -> None:
    with made.damaged("rules", "body", "{not json"):
        assert api("PATCH", f"/flags/{BROKEN}", {"name": "Renamed"}).is_success

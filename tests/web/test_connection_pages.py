"""Connect: destinations, the map of connections, and a connection's settings, rules, delivery and dead letters."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from cairn.db.routing_tables import connections, dead_letters
from cairn.event import Refused
from cairn.outcomes import Reason
from cairn.routing.connections import Connection, configuration_of, get_connection, list_connections
from cairn.routing.destinations.webhook import DESTINATION as WEBHOOK
from cairn.workspace.permission import Role
from cairn.workspace.source import list_sources
from tests.routing.delivered import SECRET, Delivered, delivered_connection
from tests.web.conftest import NOW, Browser, World

HERE = "/env/production"
FORM = {
    "name": "CRM",
    "settings.url": "https://hooks.example/cairn",
    "settings.batch": "5",
    "settings.headers": "X-Event: {{event}}\nX-Plan: {{properties.plan}}",
    "secret.secret": SECRET,
}


def source_id(world: World, kind: str = "server", *, environment_id: int = 0) -> int:
    here = environment_id or world.a.environment.id
    with world.core.reading() as connection:
        listed = list_sources(connection, world.a.workspace_id)
    return next(source.id for source in listed if source.environment_id == here and source.kind == kind)


def stored(world: World, connection_id: int) -> Connection:
    with world.core.reading() as connection:
        return get_connection(connection, world.a.workspace_id, connection_id)


@pytest.fixture
def delivered(world: World) -> Delivered:
    with world.core.engine.begin() as connection:
        return delivered_connection(
            connection, world.core.seal, world.a.workspace_id, world.a.environment.id, NOW, letters=60
        )


def connect(world: World, owner: Browser, **more: str) -> Any:
    owner.get(f"{HERE}/destinations/webhook")
    form = {"source": str(source_id(world)), "do": "connect", **FORM, **more}
    return owner.post(f"{HERE}/destinations/webhook", form)


def test_a_source_is_connected_by_the_form_of_the_destinations_settings(world: World, owner: Browser) -> None:
    page = connect(world, owner)
    assert page.status_code == 200, page.text
    made = stored(world, int(re.search(r"/connections/(\d+)", str(page.url))[1]))  # type: ignore[index]
    assert made.settings["headers"] == ["X-Event: {{event}}", "X-Plan: {{properties.plan}}"]
    assert (made.settings["batch"], made.name, made.is_enabled) == (5, "CRM", True)
    assert SECRET not in page.text
    with world.core.reading() as connection:
        assert configuration_of(connection, world.core.seal, made, WEBHOOK).secrets == {"secret": SECRET}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        pytest.param("settings.url", "", "Address is missing", id="a setting is missing"),
        pytest.param("settings.url", "ftp://x", "http or https", id="an address of another kind"),
        pytest.param("settings.batch", "many", "expected a number", id="a word for a number"),
        pytest.param("secret.secret", "", "Signing secret is missing", id="a secret is missing"),
        pytest.param("name", "", "name", id="no name"),
        pytest.param("source", "x", "choose one of the list", id="no source"),
    ],
)
def test_an_error_stands_at_its_field_and_what_was_typed_stays(
    world: World, owner: Browser, field: str, value: str, said: str
) -> None:
    page = connect(world, owner, **{field: value})
    assert page.status_code == 422
    alert = re.search(r'<small class="error"[^>]*>(.*?)</small>', page.text, re.DOTALL)
    assert alert and said in alert[1], page.text
    kept = {name: text for name, text in FORM.items() if name != field and not name.startswith("secret.")}
    for text in kept.values():
        assert text.splitlines()[0] in page.text
    assert SECRET not in page.text, "a secret is never sent back"


def test_a_new_connection_is_saved_switched_off_and_tested(world: World, owner: Browser) -> None:
    """Nobody may reach this machine from a page, so it says why the test was not let through."""
    page = connect(world, owner, **{"do": "test", "settings.url": "http://127.0.0.1:9/in"})
    made = stored(world, int(re.search(r"/connections/(\d+)", str(page.url))[1]))  # type: ignore[index]
    assert not made.is_enabled
    trial = page.text.partition('id="trial"')[2]
    assert "not taken" in trial and "outbound_networks" in trial and SECRET not in page.text
    again = owner.get(str(page.url).partition("#")[0]).text.partition('id="trial"')[2]
    assert "not taken" not in again, "it is shown once"
    assert "not taken" in owner.post(f"{HERE}/connections/{made.id}/test").text.partition('id="trial"')[2]


def test_a_form_with_a_secret_is_not_kept_when_the_session_is_over(world: World, owner: Browser) -> None:
    owner.get(f"{HERE}/destinations/webhook")
    owner.client.cookies.delete("cairn_session")
    answer = owner.post(f"{HERE}/destinations/webhook", {"source": "1", **FORM}, follow_redirects=False)
    assert answer.status_code in (303, 401) and SECRET not in answer.text and 'name="kept"' not in answer.text


def test_settings_are_saved_and_an_empty_secret_stays(
    world: World, owner: Browser, delivered: Delivered
) -> None:
    path = f"{HERE}/connections/{delivered.connection_id}"
    edition = re.search(r'name="edition" value="(\d+)"', owner.get(path).text)
    assert edition
    form = {**FORM, "edition": edition[1], "name": "Other", "retry_hours": "9", "secret.secret": ""}
    assert owner.post(path, form).status_code == 200
    changed = stored(world, delivered.connection_id)
    assert (changed.name, changed.retry_hours, changed.settings["batch"]) == ("Other", 9, 5)
    with world.core.reading() as connection:
        assert configuration_of(connection, world.core.seal, changed, WEBHOOK).secrets == {"secret": SECRET}
    stale = owner.post(path, {**form, "name": "Third"})
    assert stale.status_code == 412 and stored(world, delivered.connection_id).name == "Other"
    wrong = owner.post(path, {**form, "edition": "", "retry_hours": "x"})
    assert wrong.status_code == 422 and "whole number of hours" in wrong.text


def test_a_connection_is_switched_copied_and_deleted(
    world: World, owner: Browser, delivered: Delivered
) -> None:
    path = f"{HERE}/connections/{delivered.connection_id}"
    owner.get(path)
    owner.post(f"{path}/switch", {"on": ""})
    assert not stored(world, delivered.connection_id).is_enabled
    owner.post(f"{path}/switch", {"on": "1"})
    assert stored(world, delivered.connection_id).is_enabled
    page = owner.get(f"{path}?copy_to={world.a.other.id}")
    target = source_id(world, environment_id=world.a.other.id)
    assert f'<option value="{target}"' in page.text
    copied = owner.post(f"{path}/copy", {"environment": str(world.a.other.id), "source": str(target)})
    assert copied.url.path.startswith("/env/development/connections/") and SECRET not in copied.text
    made = stored(world, int(copied.url.path.rpartition("/")[2]))
    assert (made.source_id, made.is_enabled) == (target, False)
    assert owner.post(f"{path}/delete").url.path == f"{HERE}/connections"
    with world.core.reading() as connection:
        left = list_connections(connection, world.a.workspace_id)
    assert delivered.connection_id not in [entry.id for entry in left]


RULES = {
    "events_off": "Viewed\nPing",
    "consent": "Advertising",
    "f0.condition": "event = 'Internal Ping'",
    "f0.action": "drop",
    "f0.name": "Pings",
    "f0.is_enabled": "1",
    "f1.condition": "",
    "f1.action": "drop",
    "f1.is_enabled": "1",
    "f2.condition": "type = 'track'",
    "f2.action": "drop_properties",
    "f2.properties": "properties.total\nproperties.card",
    "f2.is_enabled": "1",
    "transformations": '[{"kind": "drop", "path": "context.ip"}]',
    "mappings": "",
}


def test_rules_are_saved_and_shown_again(world: World, owner: Browser, delivered: Delivered) -> None:
    path = f"{HERE}/connections/{delivered.connection_id}/rules"
    owner.get(path)
    assert owner.post(path, {**RULES, "do": "save"}).status_code == 200
    rules = stored(world, delivered.connection_id).rules
    assert rules["events"] == {"Viewed": False, "Ping": False} and rules["consent"] == ["Advertising"]
    assert [entry["condition"] for entry in rules["filters"]] == ["event = 'Internal Ping'", "type = 'track'"]
    assert rules["transformations"] == [{"kind": "drop", "path": "context.ip"}]
    shown = owner.get(path).text
    for text in ("Viewed\nPing", "event = &#39;Internal Ping&#39;", "properties.card", "context.ip"):
        assert text in shown, text


@pytest.mark.parametrize(
    ("wrong", "field", "said"),
    [
        pytest.param(
            {"f2.condition": "event = "}, "f2.condition", "Character 9", id="FQL that ends too early"
        ),
        pytest.param({"f2.properties": ""}, "f2.properties", "needs at least one path", id="no property"),
        pytest.param(
            {"f2.action": "sample", "f2.percent": "x"}, "f2.percent", "Expected", id="a share that is none"
        ),
        pytest.param({"transformations": "[{"}, "transformations", "JSON", id="no JSON"),
        pytest.param({"transformations": '[{"kind": "x"}]'}, "transformations", "kind", id="no such step"),
        pytest.param(
            {"mappings": '[{"trigger": "x y"}]'}, "mappings", "trigger", id="a trigger that is none"
        ),
    ],
)
def test_a_rule_that_cannot_be_read_is_told_at_its_field(
    world: World, owner: Browser, delivered: Delivered, wrong: dict[str, str], field: str, said: str
) -> None:
    path = f"{HERE}/connections/{delivered.connection_id}/rules"
    owner.get(path)
    page = owner.post(path, {**RULES, **wrong, "do": "save"})
    assert page.status_code == 422
    alert = re.search(rf'id="wrong-{re.escape(field)}"[^>]*>(.*?)</small>', page.text, re.DOTALL)
    assert alert and said.lower() in alert[1].lower(), page.text
    assert not stored(world, delivered.connection_id).rules, "nothing is saved"
    tried = owner.post(path, {**RULES, **wrong, "do": "try"})
    assert tried.status_code == 200 and "cannot be read" in tried.text


def test_rules_are_tried_on_recent_events_before_they_are_saved(
    world: World, owner: Browser, delivered: Delivered
) -> None:
    path = f"{HERE}/connections/{delivered.connection_id}/rules"
    owner.get(path)
    form = {**RULES, "consent": "", "do": "try", "event": '{"type": "page", "name": "Pricing"}'}
    preview = owner.post(path, form).text.partition('id="preview"')[2]
    assert "Pricing" in preview and "filtered by event switch" in preview, "Ping is switched off"
    order = preview.partition("Order Completed")[2].partition("</li>")[0]
    assert "sent" in order and "129.5" not in order, "its properties are left out"
    assert not stored(world, delivered.connection_id).rules
    wrong = owner.post(path, {**form, "event": "[1]"}).text
    assert "expected one JSON object" in wrong


def test_a_try_says_what_each_transformation_does_and_which_names_reach_nothing(
    world: World, owner: Browser, delivered: Delivered
) -> None:
    path = f"{HERE}/connections/{delivered.connection_id}/rules"
    owner.get(path)
    steps = (
        '[{"kind": "set", "path": "properties.a", "value": 1}, {"kind": "drop", "path": "properties.gone"}]'
    )
    event = (
        '{"type": "track", "event": "Tried", "integrations": {"heap": true, "Heap": true, "Nowhere": false}}'
    )
    form = {"edition": "", "do": "try", "transformations": steps, "event": event}
    preview = owner.post(path, form).text.partition('id="preview"')[2].partition("</li>")[0]
    assert "Tried" in preview and "Transformations changed it: Set properties.a to 1." in preview
    assert "properties.gone" not in preview, "there was nothing to remove"
    assert "names are case-sensitive; write &#39;Heap&#39;" in preview
    assert "integrations.Nowhere: no destination has this name" in preview


def test_rules_are_tried_on_what_the_analytics_stored_where_nothing_was_delivered_yet(
    world: World, owner: Browser
) -> None:
    page = connect(world, owner, name="New one")
    world.event("Plan chosen", properties={"plan": "pro"}, source="Server")
    rules = owner.get(f"{page.url.path}/rules").text.partition('id="preview"')[2]
    assert "Plan chosen" in rules and "pro" in rules


def test_the_delivery_page_shows_what_became_of_messages(
    world: World, owner: Browser, delivered: Delivered
) -> None:
    page = owner.read(f"{HERE}/connections/{delivered.connection_id}/delivery").text
    for text in ("Waiting since", "answered 503: busy", "filtered by rules", "50 ms", "60 dead letters now"):
        assert text in page, text
    for period in ("1h", "24h", "7d", "30d", "nonsense"):
        answer = owner.get(f"{HERE}/connections/{delivered.connection_id}/delivery?period={period}")
        assert answer.status_code == 200 and "<b>90</b>" in answer.text
    one = owner.get(f"{HERE}/connections/{delivered.connection_id}/delivery?reason=filtered_by_rules").text
    samples = one.partition('id="samples"')[2]
    assert "Ping" in samples and "Order Completed" not in samples


def test_dead_letters_are_read_sent_again_and_deleted(
    world: World, owner: Browser, delivered: Delivered
) -> None:
    path = f"{HERE}/connections/{delivered.connection_id}/dead-letters"
    first = owner.get(path).text
    assert "60 dead letters" in first.lower() and "Older" in first
    older = re.search(r'href="([^"]*before=\d+)"', first)
    assert older and "user30@shop.test" in owner.get(older[1]).text
    whole = owner.get(f"{path}/{delivered.letter_id}").text
    for text in ("POST https://hooks.example/cairn", "422", "129.5", "Kept until"):
        assert text in whole, text
    owner.post(f"{path}/{delivered.letter_id}/redrive")
    assert redriven(world, delivered) == 1
    owner.post(f"{path}/redrive", {"reason": "expired"})
    assert redriven(world, delivered) == 31
    assert "sent again" in owner.get(path).text
    owner.post(f"{path}/delete", {"reason": "expired"})
    owner.post(f"{path}/{delivered.letter_id}/delete")
    assert "29 dead letters" in owner.get(path).text.lower()
    owner.post(f"{path}/redrive", {"reason": ""})
    assert redriven(world, delivered) == 29
    owner.post(f"{path}/delete", {"reason": ""})
    assert "No dead letter" in owner.get(path).text


def redriven(world: World, delivered: Delivered) -> int:
    with world.core.engine.connect() as connection:
        return int(
            connection.execute(
                sa.select(sa.func.count()).where(
                    dead_letters.c.connection_id == delivered.connection_id,
                    dead_letters.c.redrive_at.is_not(None),
                )
            ).scalar_one()
        )


def test_the_map_and_home_say_which_connection_waits(
    world: World, owner: Browser, delivered: Delivered
) -> None:
    shown = owner.read(f"{HERE}/connections").text
    assert "Analytics of this Cairn" in shown and "answered 503: busy" in shown
    assert "90 delivered, 5 left out, 2 given up in the last hour" in shown
    assert "Connection CRM is waiting since" in owner.read(HERE).text
    with world.core.engine.begin() as connection:
        connection.execute(sa.update(connections).values(is_enabled=False))
    assert "Connection CRM" not in owner.read(HERE).text, "one that is off needs nobody"


def test_a_page_of_a_source_says_what_arrived_what_was_refused_and_where_it_goes(
    world: World, owner: Browser, delivered: Delivered
) -> None:
    world.event("Order Completed", source="Server")
    at = int(NOW.timestamp() * 1000) - 500
    world.refuse(
        Refused(world.a.environment.id, at, Reason.NO_USER, "userId: is missing", "x", "", "Server", "{}")
    )
    world.refuse(Refused(world.a.environment.id, at, Reason.BAD_REQUEST, "other", "x", "", "Website", "{}"))
    page = owner.read(f"{HERE}/keys/sources/{delivered.source_id}").text
    for text in ("Order Completed", "no user", "userId: is missing", "CRM", "Analytics of this Cairn"):
        assert text in page, text
    assert "bad request" not in page, "another source's"
    assert f'href="{HERE}/keys/sources/{delivered.source_id}"' in owner.get(f"{HERE}/keys").text


def test_the_catalogue_is_searched_and_counts_connections(
    world: World, owner: Browser, delivered: Delivered
) -> None:
    assert "Mixpanel" in owner.read(f"{HERE}/destinations").text
    found = owner.read(f"{HERE}/destinations?q=webhook").text
    assert "Webhook" in found and "Mixpanel" not in found and "connection" in found
    assert "No destination fits" in owner.read(f"{HERE}/destinations?q=zzz").text


def test_who_may_not_change_sources_reads_and_changes_nothing(
    world: World, browse: Callable[..., Browser], delivered: Delivered
) -> None:
    editor = browse().enter(world.core, world.a.email(Role.EDITOR))
    path = f"{HERE}/connections/{delivered.connection_id}"
    for tab in ("", "/rules", "/delivery", "/dead-letters", f"/dead-letters/{delivered.letter_id}"):
        page = editor.get(f"{path}{tab}")
        assert page.status_code == 200 and SECRET not in page.text
        assert f'action="{path}' not in page.text.replace(f'method="get" action="{path}', "")
    assert editor.get(f"{HERE}/destinations/webhook").status_code == 403
    for post in (
        "",
        "/switch",
        "/copy",
        "/delete",
        "/rules",
        "/dead-letters/redrive",
        "/dead-letters/delete",
    ):
        assert editor.post(f"{path}{post}").status_code == 403, post


def test_no_page_of_a_connection_is_reached_from_another_workspace_or_environment(
    world: World, owner: Browser, browse: Callable[..., Browser], delivered: Delivered
) -> None:
    rival = browse().enter(world.core, world.b.email())
    rest = f"/connections/{delivered.connection_id}"
    tabs = ("", "/rules", "/delivery", "/dead-letters", f"/dead-letters/{delivered.letter_id}")
    for tab in tabs:
        assert rival.get(f"{HERE}{rest}{tab}").status_code == 404, tab
        assert owner.get(f"/env/development{rest}{tab}").status_code == 404, tab
    assert rival.get(f"{HERE}/keys/sources/{delivered.source_id}").status_code == 404
    for post in (
        "",
        "/switch",
        "/copy",
        "/delete",
        "/rules",
        "/dead-letters/redrive",
        "/dead-letters/delete",
    ):
        form = {"environment": "production", "source": str(delivered.source_id)}
        assert rival.post(f"{HERE}{rest}{post}", form).status_code == 404, post


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'])
def test_foreign_text_of_connections_stays_text(world: World, owner: Browser, text: str) -> None:
    with world.core.engine.begin() as connection:
        made = delivered_connection(
            connection, world.core.seal, world.a.workspace_id, world.a.environment.id, NOW, name=text
        )
        hostile = {"event": text, "detail": text, "user_id": text, "message": {"body": {text: text}}}
        connection.execute(
            sa.update(dead_letters)
            .where(dead_letters.c.connection_id == made.connection_id)
            .values(**hostile, request={"method": text, "body": text}, answer={"status": text, "body": text})
        )
    path = f"{HERE}/connections/{made.connection_id}"
    for tab in ("", "/rules", "/delivery", "/dead-letters", f"/dead-letters/{made.letter_id}"):
        page = owner.get(f"{path}{tab}")
        assert page.status_code == 200
        assert "<script>alert" not in page.text and "<img" not in page.text, tab
    for other in ("/connections", ""):
        assert "<script>alert" not in owner.get(f"{HERE}{other}").text

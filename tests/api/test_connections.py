"""Connections over the API: the catalogue, what is refused, that secrets stay inside, and what became of messages."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from cairn.clock import to_ms
from cairn.db.routing_tables import dead_letters, delivery_counts, delivery_samples, delivery_states
from cairn.workspace.permission import Role
from tests.api.conftest import World

HERE = {"environment": "production"}
SECRET = "whsec_" + "c2VjcmV0" * 6
WEBHOOK = {
    "destination": "webhook",
    "settings": {"url": "https://hooks.example/cairn"},
    "secrets": {"secret": SECRET},
}
Make = Callable[..., dict[str, Any]]


def call(world: World, method: str, path: str, **options: Any) -> Any:
    params = {**HERE, **options.pop("params", {})}
    return world.call(method, path, role=options.pop("role", Role.ADMIN), params=params, **options)


@pytest.fixture
def make(world: World) -> Make:
    def make(**more: Any) -> dict[str, Any]:
        path = f"/sources/{world.a.source_id}/connections"
        answer = call(world, "POST", path, json={**WEBHOOK, **more})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    return make


def test_the_catalogue_says_what_each_destination_asks_for(world: World) -> None:
    known = world.call("GET", "/destinations", role=Role.VIEWER).json()["destinations"]
    slugs = {entry["slug"] for entry in known}
    assert {"webhook", "heap_classic"} <= slugs
    webhook = world.call("GET", "/destinations/webhook").json()
    settings = {setting["key"]: setting for setting in webhook["settings"]}
    assert settings["secret"]["kind"] == "secret" and settings["secret"]["default"] is None
    assert settings["url"]["is_required"]
    assert world.call("GET", "/destinations/nothing").json()["code"] == "destination_not_found"


def test_no_answer_holds_a_secret(world: World, make: Make) -> None:
    made = make()
    own = f"/connections/{made['id']}"
    assert made["secrets"] == ["secret"]
    answers = [
        call(world, "GET", own),
        call(world, "PATCH", own, json={"name": "Other", "secrets": {"authorization": f"Bearer {SECRET}"}}),
        call(world, "GET", f"/sources/{world.a.source_id}/connections"),
        call(world, "POST", f"{own}/copy", json={"to_environment": "development", "source_id": other(world)}),
        call(world, "PATCH", own, json={"secrets": {"secret": f"wrong\n{SECRET}"}}),
        call(world, "PATCH", own, json={"secrets": {"nothing": SECRET}}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 201, 422, 422]
    for answer in answers:
        assert SECRET not in answer.text
    assert answers[1].json()["secrets"] == ["authorization", "secret"]
    removed = call(world, "PATCH", own, json={"secrets": {"authorization": ""}})
    assert removed.json()["secrets"] == ["secret"]


def other(world: World) -> int:
    """A source of the development environment."""
    known = call(world, "GET", "/sources", params={"environment": "development"}).json()["sources"]
    return int(known[0]["id"])


def test_a_copy_is_off_and_has_the_same_settings_secrets_and_rules(world: World, make: Make) -> None:
    made = make(name="CRM", rules={"events": {"Bought": False}}, retry_hours=7)
    target = {"to_environment": "development", "source_id": other(world)}
    answer = call(world, "POST", f"/connections/{made['id']}/copy", json=target)
    copy = answer.json()
    assert answer.status_code == 201 and answer.headers["etag"] == '"1"'
    same = ("destination", "name", "settings", "secrets", "rules", "retry_hours")
    assert [copy[name] for name in same] == [made[name] for name in same]
    assert (copy["is_enabled"], copy["source_id"]) == (False, target["source_id"])
    wrong = {"to_environment": "development", "source_id": world.a.source_id}
    refused = call(world, "POST", f"/connections/{made['id']}/copy", json=wrong)
    assert refused.json()["code"] == "source_not_found"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param({"destination": "nothing"}, "destination", id="no such destination"),
        pytest.param({"settings": {}}, "settings.url", id="a setting is missing"),
        pytest.param({"settings": {"url": "ftp://x"}}, "settings.url", id="an address of another kind"),
        pytest.param({"secrets": {}}, "settings.secret", id="a secret is missing"),
        pytest.param({"settings": {"nothing": 1}}, "settings.nothing", id="no such setting"),
        pytest.param({"rules": {"events": {"Bought": "no"}}}, "events", id="a rule of another type"),
        pytest.param({"rules": {"nothing": 1}}, "", id="no such rule"),
        pytest.param({"retry_hours": 0}, "retry_hours", id="too short"),
        pytest.param({"name": ""}, "name", id="no name"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(world: World, body: dict[str, Any], field: str) -> None:
    answer = call(world, "POST", f"/sources/{world.a.source_id}/connections", json={**WEBHOOK, **body})
    assert answer.status_code in (404, 422), answer.text
    assert answer.json().get("field", "").startswith(field), answer.text
    assert SECRET not in answer.text


def test_only_what_is_named_changes_and_is_told(world: World, make: Make) -> None:
    made = make()
    own = f"/connections/{made['id']}"
    seen = call(world, "GET", own).headers["etag"]
    first = call(world, "PATCH", own, json={"settings": {"batch": 10}}, headers={"If-Match": seen})
    assert first.json()["settings"] == {**made["settings"], "batch": 10}
    stale = call(world, "PATCH", own, json={"name": "Other"}, headers={"If-Match": seen})
    assert stale.status_code == 412 and "settings" in stale.json()["detail"]
    assert call(world, "DELETE", own, headers={"If-Match": seen}).status_code == 412
    same = call(world, "PATCH", own, json={"settings": {"batch": 10}})
    assert same.headers["etag"] == first.headers["etag"], "nothing was changed"
    assert call(world, "DELETE", own, headers={"If-Match": same.headers["etag"]}).status_code == 204
    assert call(world, "GET", own).json()["code"] == "connection_not_found"


def test_a_connection_is_not_reached_through_another_environment(world: World, make: Make) -> None:
    own = f"/connections/{make()['id']}"
    elsewhere = {"environment": "development"}
    for method, path, body in (
        ("GET", own, None),
        ("PATCH", own, {"name": "x"}),
        ("DELETE", own, None),
        ("GET", f"{own}/delivery", None),
        ("GET", f"{own}/samples", None),
        ("POST", f"{own}/dead-letters/redrive", {}),
    ):
        answer = call(world, method, path, params=elsewhere, **({"json": body} if body is not None else {}))
        assert answer.json()["code"] == "connection_not_found", (method, path)


def insert(world: World, table: sa.Table, *rows: dict[str, Any]) -> None:
    with world.core.engine.begin() as connection:
        connection.execute(sa.insert(table), list(rows))


def test_delivery_counts_what_happened_in_the_period(world: World, make: Make) -> None:
    made, now = make()["id"], world.core.clock()
    minute = to_ms(now) // 60_000

    def row(ago: int, outcome: str, reason: str, latency_ms: int, count: int) -> dict[str, Any]:
        kept = {"connection_id": made, "minute": minute - ago, "outcome": outcome, "reason": reason}
        return {**kept, "latency_ms": latency_ms, "count": count}

    insert(
        world,
        delivery_counts,
        row(1, "delivered", "", 50, 90),
        row(2, "delivered", "", 2_000, 8),
        row(2, "delivered", "", 60_000, 2),
        row(3, "discarded", "filtered_by_rules", 0, 5),
        row(3, "discarded", "unsupported_event_type", 0, 7),
        row(200, "failed", "expired", 0, 3),
        row(200, "retried", "", 0, 11),
        row(60 * 24 * 10, "delivered", "", 10, 1_000),
    )
    state = {"state": "waiting", "detail": "answered 503", "since": now, "waiting": 4, "retrying": 1}
    insert(world, delivery_states, {"connection_id": made, "oldest_at": now, "updated_at": now, **state})
    path = f"/connections/{made}/delivery"
    hour = call(world, "GET", path, params={"period": "1h"}).json()
    assert hour["counts"] == {"delivered": 100, "discarded": 12, "retried": 0, "failed": 0}
    assert hour["latency_ms"] == {"p50": 50, "p95": 2_000, "p99": 60_000}
    assert hour["reasons"][0] == {"outcome": "discarded", "reason": "unsupported_event_type", "count": 7}
    assert len(hour["buckets"]) == 60 and sum(bucket["delivered"] for bucket in hour["buckets"]) == 100
    assert hour["state"].items() >= {"state": "waiting", "waiting": 4, "retrying": 1}.items()
    day = call(world, "GET", path).json()
    assert (day["counts"]["failed"], day["counts"]["retried"]) == (3, 11)
    for period, bars in (("24h", 48), ("7d", 28), ("30d", 30)):
        answer = call(world, "GET", path, params={"period": period}).json()
        assert len(answer["buckets"]) == bars
    assert answer["counts"]["delivered"] == 1_100
    assert call(world, "GET", path, params={"period": "1y"}).status_code == 422


def test_a_connection_that_delivered_nothing_says_so(world: World, make: Make) -> None:
    delivery = call(world, "GET", f"/connections/{make()['id']}/delivery").json()
    assert (delivery["state"], delivery["latency_ms"], delivery["dead_letters"]) == (None, {}, {})
    assert set(delivery["counts"].values()) == {0}


def test_samples_are_chosen_by_outcome_and_reason(world: World, make: Make) -> None:
    made, now = make()["id"], world.core.clock()
    common = {"connection_id": made, "at": now, "message": {"body": {}}}
    insert(
        world,
        delivery_samples,
        {**common, "outcome": "delivered", "reason": "", "request": {"url": "u"}, "answer": {"status": 200}},
        {**common, "outcome": "discarded", "reason": "filtered_by_rules", "request": None, "answer": None},
    )
    path = f"/connections/{made}/samples"
    both = call(world, "GET", path).json()["samples"]
    assert [sample["outcome"] for sample in both] == ["discarded", "delivered"]
    delivered = call(world, "GET", path, params={"outcome": "delivered"}).json()["samples"]
    assert [sample["answer"] for sample in delivered] == [{"status": 200}]
    assert len(call(world, "GET", path, params={"reason": "filtered_by_rules"}).json()["samples"]) == 1


@pytest.fixture
def letters(world: World, make: Make) -> str:
    """The path of a connection with five dead letters, two of them expired."""
    made, now = make()["id"], world.core.clock()
    kept = {"connection_id": made, "kind": "track", "attempts": 3, "failed_at": now}
    kept |= {"expires_at": now + timedelta(days=30), "request": None, "answer": None}
    insert(
        world,
        dead_letters,
        *(
            {
                **kept,
                "position": str(number),
                "event": f"Event {number}",
                "user_id": "u",
                "reason": "expired" if number < 2 else "message_rejected",
                "message": {"body": {"event": f"Event {number}"}},
            }
            for number in range(5)
        ),
    )
    return f"/connections/{made}/dead-letters"


def test_dead_letters_are_paged_the_newest_first(world: World, letters: str) -> None:
    seen: list[str] = []
    after = ""
    for _ in range(3):
        page = call(world, "GET", letters, params={"limit": 2, "after": after}).json()
        seen += [letter["event"] for letter in page["dead_letters"]]
        after = page["next"] or ""
    assert seen == [f"Event {number}" for number in (4, 3, 2, 1, 0)] and not after
    expired = call(world, "GET", letters, params={"reason": "expired"}).json()["dead_letters"]
    assert [letter["event"] for letter in expired] == ["Event 1", "Event 0"]
    whole = call(world, "GET", f"{letters}/{expired[0]['id']}").json()
    assert whole["message"]["body"]["event"] == "Event 1"


def test_one_some_and_all_dead_letters_are_sent_again(world: World, letters: str) -> None:
    def waiting() -> list[bool]:
        found = call(world, "GET", letters).json()["dead_letters"]
        return [letter["redrive_at"] is not None for letter in found]

    first = call(world, "GET", letters).json()["dead_letters"][0]["id"]
    sent = call(world, "POST", f"{letters}/{first}/redrive")
    assert sent.status_code == 200 and sent.json()["redrive_at"]
    assert waiting() == [True, False, False, False, False]
    some = call(world, "POST", f"{letters}/redrive", json={"reason": "expired"})
    assert some.json() == {"count": 2} and waiting() == [True, False, False, True, True]
    every = call(world, "POST", f"{letters}/redrive", json={})
    assert every.json() == {"count": 2} and all(waiting())


def test_one_some_and_all_dead_letters_are_deleted(world: World, letters: str) -> None:
    def left() -> int:
        return len(call(world, "GET", letters).json()["dead_letters"])

    first = call(world, "GET", letters).json()["dead_letters"][0]["id"]
    assert call(world, "DELETE", f"{letters}/{first}").status_code == 204
    assert call(world, "DELETE", f"{letters}/{first}").json()["code"] == "dead_letter_not_found"
    assert left() == 4
    assert call(world, "DELETE", letters, params={"reason": "expired"}).status_code == 204
    assert left() == 2
    assert call(world, "DELETE", letters).status_code == 204
    assert left() == 0

"""What the labeller asks: only with its grant, for its environment, by its member's role of now; from any origin."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from cairn.api.labeller import ENDPOINTS, MOST_CALLS, PREFIX
from cairn.clock import to_ms
from cairn.event import Draft, Element
from cairn.ids import event_id, key_hash
from cairn.workspace.label_grant import exchange_code, open_grant
from cairn.workspace.member import Member, create_member, remove_member, set_role
from cairn.workspace.permission import Role
from cairn.workspace.session import start_session
from tests.api.conftest import World
from tests.definitions.world import load

HOME = "https://cairn.example"
SITE = "https://shop.example"
WAYS = {endpoint.path: endpoint for endpoint in ENDPOINTS}
BUTTON = "@form;#buy;|@button;.add;[type=button];|"
PART = {"kind": "click", "selector": "button.add"}


@dataclass
class Labeller:
    world: World
    member: Member

    def code(self, *, minutes_ago: float = 0, environment_id: int = 0) -> str:
        """Of a link that the member opened then, in a session of its own."""
        then = self.world.core.clock() - timedelta(minutes=minutes_ago)
        with self.world.core.writing() as connection:
            session, _ = start_session(connection, self.member, then)
            return open_grant(
                connection,
                self.member,
                session_hash=key_hash(session),
                site=SITE,
                home=HOME,
                now=then,
                environment_id=environment_id or self.world.a.environment,
            )

    def token(self, *, minutes_ago: float = 0, environment_id: int = 0) -> str:
        code = self.code(minutes_ago=minutes_ago, environment_id=environment_id)
        then = self.world.core.clock() - timedelta(minutes=minutes_ago)
        with self.world.core.writing() as connection:
            return exchange_code(connection, code, origin=SITE, now=then)

    def ask(self, path: str, body: Any = None, *, token: str | None = None) -> Any:
        headers = {
            "Authorization": f"Bearer {self.token() if token is None else token}",
            "Origin": SITE,
        }
        method = WAYS[path].method
        return self.world.client.request(method, PREFIX + path, headers=headers, json=body)


_made = iter(range(1000))


@pytest.fixture
def labeller(world: World) -> Labeller:
    """Of a member of its own, so that no test uses up another one's calls."""
    with world.core.engine.begin() as connection:
        member = create_member(
            connection,
            world.a.workspace_id,
            email=f"labeller{next(_made)}@aardvark.test",
            name="Labeller",
            password="correct horse battery",
            role=Role.EDITOR,
            now=world.core.clock(),
        )
    return Labeller(world, member)


@pytest.fixture(scope="module")
def clicks(world: World) -> None:
    """Seven clicks of two users on one button, one of them long ago, and one on another button."""
    now = to_ms(world.core.clock())
    minute, day = 60_000, 86_400_000
    drafts = []
    for number in range(8):
        hierarchy = BUTTON if number < 7 else "@button;.other;|"
        at = now - (40 * day if number == 6 else (number + 1) * minute)
        text = "Add" if number % 2 else "Add to cart"
        drafts.append(
            Draft(
                world.a.environment,
                "click",
                "click",
                at,
                at,
                user_id=5000 + number % 2,
                event_id=event_id("labelled", str(number)),
                element=Element(hierarchy, "button", classes="add", text=text),
                facts={"path": "/tent"},
            )
        )
    load(world.core.store, drafts)


def test_it_says_how_things_stand(labeller: Labeller) -> None:
    standing = labeller.ask("/standing").json()
    assert standing["may_define"] is True and standing["days"] == 30
    assert [event["name"] for event in standing["events"]] == ["aardvark"]
    event = standing["events"][0]
    assert event["url"] == f"{HOME}/env/{labeller.world.a.environment}/events/{event['id']}"
    assert "zebra" not in str(standing)


@pytest.mark.usefixtures("clicks")
def test_candidates_are_counted_in_one_call(labeller: Labeller) -> None:
    text = {"key": "text", "operator": "is", "value": "Add"}
    parts = [
        PART,
        {**PART, "tests": [text]},
        {**PART, "tests": [{"key": "path", "operator": "is", "value": "/boots"}]},
        {"kind": "click", "selector": "#buy > .add, #buy > .add *"},
        {"kind": "change", "selector": "button"},
        {"kind": "click", "selector": "button"},
    ]
    answer = labeller.ask("/counts", {"parts": parts})
    assert answer.status_code == 200, answer.text
    assert answer.json()["days"] == 30
    counted = [(count["events"], count["users"]) for count in answer.json()["counts"]]
    assert counted == [(6, 2), (3, 1), (0, 0), (6, 2), (0, 0), (7, 2)]
    assert labeller.ask("/counts", {"parts": []}).json()["counts"] == []


@pytest.mark.usefixtures("clicks")
def test_an_event_is_defined_and_counted(labeller: Labeller) -> None:
    body = {"name": "Added by label", "category": "Shop", "definition": {"parts": [PART]}}
    answer = labeller.ask("/events", body)
    assert answer.status_code == 201, answer.text
    defined = answer.json()
    assert defined["recent"] == {"events": 6, "users": 2}
    read = labeller.world.call("GET", f"/defined-events/{defined['event']['id']}").json()
    assert (read["name"], read["category"], read["verified"]) == ("Added by label", "Shop", False)
    assert labeller.ask("/standing").json()["categories"] == ["Shop"]
    again = labeller.ask("/events", {**body, "name": "added BY label"})
    assert (again.status_code, again.json()["code"], again.json()["field"]) == (
        409,
        "defined_event_name_taken",
        "name",
    )


REFUSED = {
    "a selector that cannot be read": (
        "/counts",
        {"parts": [PART, {**PART, "selector": "a >"}]},
        "definition.parts[1].selector",
    ),
    "too many candidates": ("/counts", {"parts": [PART] * 21}, "definition.parts"),
    "an unknown field": ("/counts", {"parts": [{**PART, "sql": "1"}]}, "parts[0].sql"),
    "an unknown key": ("/counts", {"parts": [], "environment": 2}, "environment"),
    "no name": ("/events", {"name": " ", "definition": {"parts": [PART]}}, "name"),
    "nothing that counts": ("/events", {"name": "x", "definition": {}}, "definition.parts"),
    "a combo": ("/events", {"name": "x", "definition": {"events": [1]}}, "definition.events"),
}


@pytest.mark.parametrize(("path", "body", "field"), REFUSED.values(), ids=REFUSED.keys())
def test_everything_is_checked_again(labeller: Labeller, path: str, body: Any, field: str) -> None:
    answer = labeller.ask(path, body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["field"] == field
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", WAYS)
def test_without_a_grant_nothing_answers(labeller: Labeller, path: str) -> None:
    owner = labeller.world.a.tokens[Role.OWNER]
    body = None if WAYS[path].body_type is None else {}
    for token in ("", "x.y", owner, "é", labeller.code()):
        headers = {"Authorization": f"Bearer {token}".encode()}
        answer = labeller.world.client.request(WAYS[path].method, PREFIX + path, headers=headers, json=body)
        assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")
        assert answer.headers["access-control-allow-origin"] == "*"
    for token in (labeller.token(minutes_ago=30), labeller.token() + "x"):
        late = labeller.ask(path, body, token=token)
        assert (late.status_code, late.json()["code"]) == (401, "label_link_expired")
    headers = {"Authorization": f"Bearer {labeller.token()}", "Origin": "https://evil.example"}
    answer = labeller.world.client.request(WAYS[path].method, PREFIX + path, headers=headers, json=body)
    assert (answer.status_code, answer.json()["code"]) == (401, "label_link_expired"), (
        "a page of another site"
    )


def test_a_links_code_is_exchanged_once_by_a_page_of_its_site(labeller: Labeller) -> None:
    def exchange(code: str, origin: str = SITE) -> Any:
        headers = {"Authorization": f"Bearer {code}", "Origin": origin}
        return labeller.world.client.post(f"{PREFIX}/exchange", json={}, headers=headers)

    code = labeller.code()
    for origin in ("https://evil.example", "null", "http://shop.example"):
        assert exchange(code, origin).json()["code"] == "label_link_expired"
    token = exchange(code).json()["token"]
    assert labeller.ask("/standing", token=token).status_code == 200
    assert exchange(code).json()["code"] == "label_link_expired"
    assert exchange(labeller.code(minutes_ago=5)).json()["code"] == "label_link_expired"


def test_a_grant_opens_nothing_else(labeller: Labeller) -> None:
    for path in ("/segments", "/users", "/defined-events"):
        headers = {"Authorization": f"Bearer {labeller.token()}"}
        assert labeller.world.client.get(f"/api/v1{path}", headers=headers).status_code == 401


def test_no_environment_of_another_workspace(labeller: Labeller) -> None:
    """Even a grant that we made by mistake."""
    world = labeller.world
    body = {"name": "Stolen", "definition": {"parts": [PART]}}
    for path, sent in (("/standing", None), ("/counts", {"parts": [PART]}), ("/events", body)):
        answer = labeller.ask(path, sent, token=labeller.token(environment_id=world.b.environment))
        assert answer.status_code in (401, 404), answer.text
    assert "Stolen" not in str(world.everything())


def test_a_grant_ends_with_a_change_of_the_members_role(labeller: Labeller) -> None:
    token, world = labeller.token(), labeller.world
    assert labeller.ask("/standing", token=token).json()["may_define"] is True
    with world.core.engine.begin() as connection:
        set_role(connection, world.a.workspace_id, labeller.member.id, Role.VIEWER, by=Role.OWNER)
    body = {"name": "By a viewer", "definition": {"parts": [PART]}}
    for path, sent in (("/standing", None), ("/counts", {"parts": [PART]}), ("/events", body)):
        ended = labeller.ask(path, sent, token=token)
        assert (ended.status_code, ended.json()["code"]) == (401, "label_link_expired")
    with world.core.engine.begin() as connection:
        remove_member(connection, world.a.workspace_id, labeller.member.id, by=Role.OWNER)
    assert labeller.ask("/standing", token=token).status_code == 401


@pytest.mark.parametrize("path", WAYS)
def test_pages_of_any_origin_may_ask(labeller: Labeller, path: str) -> None:
    headers = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": WAYS[path].method,
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    preflight = labeller.world.client.options(PREFIX + path, headers=headers)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert WAYS[path].method in preflight.headers["access-control-allow-methods"]
    assert preflight.headers["access-control-allow-headers"] == "authorization, content-type"
    assert "access-control-allow-credentials" not in preflight.headers
    wrong = labeller.world.client.put(PREFIX + path)
    assert (wrong.status_code, wrong.json()["code"]) == (405, "wrong_method")
    own = labeller.world.call("GET", "/segments", headers={"Origin": "https://shop.example"})
    assert "access-control-allow-origin" not in own.headers


def test_a_member_can_ask_so_often_and_others_go_on(labeller: Labeller) -> None:
    token = labeller.token()
    statuses = [labeller.ask("/standing", token=token).status_code for _ in range(2 * MOST_CALLS + 1)]
    assert statuses[:MOST_CALLS] == [200] * MOST_CALLS
    refused = [status for status in statuses if status != 200]
    assert refused and set(refused) == {429}
    with labeller.world.core.engine.begin() as connection:
        other = create_member(
            connection,
            labeller.world.a.workspace_id,
            email="calm@aardvark.test",
            name="Calm",
            password="correct horse battery",
            role=Role.EDITOR,
            now=labeller.world.core.clock(),
        )
    assert Labeller(labeller.world, other).ask("/standing").status_code == 200

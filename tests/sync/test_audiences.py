"""Audiences in rules, on Home, in the API and in the deletion of a user."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from cairn.app import flags, rules
from cairn.app.call import Call
from cairn.app.playground import try_flag
from cairn.db.engine import reading
from cairn.db.sync_tables import heap_connections
from cairn.flags.definition import NewFlag, create_flag
from cairn.flags.publish import publish_environment
from cairn.workspace.api_token import create_token
from cairn.workspace.directory_build import build_directory
from cairn.workspace.environment import Environment, get_environment
from cairn.workspace.member import create_member
from cairn.workspace.permission import Role
from tests.sync.heap import Account, connect, open_account, page
from tests.web.conftest import PASSWORD, Browser

HEAP = "/env/production/heap"


class Shop:
    """A workspace with a connected Heap account, its owner in a browser, and a token."""

    def __init__(self, account: Account) -> None:
        self.account, core = account, account.core
        with core.engine.begin() as connection:
            self.workspace_id = connection.execute(sa.select(heap_connections.c.workspace_id)).scalar_one()
            create_member(
                connection,
                self.workspace_id,
                email="owner@shop.test",
                name="owner",
                password=PASSWORD,
                role=Role.OWNER,
                now=account.now,
            )
            self.here = get_environment(connection, self.workspace_id, "production")
            self.token = create_token(
                connection, self.workspace_id, name="t", role=Role.EDITOR, now=account.now
            )[1]
            for key in ("ship", "other"):
                create_flag(
                    connection, self.workspace_id, self.here.project_id, NewFlag(key=key), account.now
                )
        self.owner = Browser(account.client).enter(core, "owner@shop.test")

    @property
    def call(self) -> Call:
        return Call(self.account.core, self.workspace_id, "owner@shop.test", Role.OWNER, self.account.now)

    def api(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        answer = self.account.client.request(
            method, f"/api/v1{path}", json=body, headers={"Authorization": f"Bearer {self.token}"}
        )
        assert answer.status_code == status, answer.text
        return answer.json()

    def add(self, *segments: int) -> list[Any]:
        body = {"heap_ids": list(map(str, segments))}
        return list(self.api("POST", "/audiences?environment=production", body, status=201)["audiences"])


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    account = open_account(tmp_path_factory.mktemp("account"))
    yield Shop(account)
    account.close()


@pytest.fixture
def shop(opened: Shop) -> Shop:
    opened.account.reset()
    return opened


def add_rule(shop: Shop, flag: str, list_id: str, *, status: int = 201) -> Any:
    condition = {"type": "in_list", "attribute": "your_custom_variable", "list_id": list_id}
    body = {
        "kind": "rollout",
        "key": f"rule-{list_id[-6:]}",
        "condition": condition,
        "allocations": [{"variation_id": 1}],
    }
    return shop.api("POST", f"/flags/{flag}/environments/production/rules", body, status=status)


def test_an_added_audience_is_offered_in_rules_and_one_on_offer_is_not(shop: Shop) -> None:
    shop.account.taken(page(segment=1, task="1", name="Premium at Heap", add=["ann"]))
    shop.account.taken(page(segment=2, task="2", name="Trial at Heap", add=["bob"]))
    (added,) = shop.add(1)
    text = shop.owner.get("/env/production/flags/ship/rules/new").text
    assert "Premium at Heap (from Heap)" in text and "Trial at Heap" not in text
    on_offer = shop.account.audience(2).list_id
    assert on_offer in add_rule(shop, "ship", on_offer, status=422)["detail"]
    made = add_rule(shop, "ship", added["list_id"])
    text = shop.owner.get(f"/env/production/flags/ship/rules/{made['id']}/edit").text
    assert f'value="{added["list_id"]}" selected' in text
    text = shop.owner.get("/env/production/flags/ship").text
    assert "Premium at Heap" in text and "1 member" in text


def test_a_rule_about_an_audience_is_decided_by_its_members(shop: Shop) -> None:
    account = shop.account
    account.taken(page(segment=3, task="1", add=["ann"]))
    (added,) = shop.add(3)
    made = add_rule(shop, "other", added["list_id"])
    core, here = account.core, shop.here
    flag_id = flags.get_flag(shop.call, "other").flag.id
    flags.switch_flag(shop.call, flag_id, here, is_on=True)
    rules.switch_rule(shop.call, flag_id, here, made["id"], is_on=True)
    with core.engine.begin() as connection:
        publish_environment(
            connection,
            core.members,
            core.members,
            here.id,
            poll_interval_ms=1000,
            inline_limit=5000,  # type: ignore[arg-type]
        )
        assert added["list_id"] in build_directory(connection).lists
    document = core.members.document(f"settings/{here.id}/node")  # type: ignore[attr-defined]
    assert f"inlist({added['list_id']})".encode() in document
    decided = [member for who in ("ann", "bob") for member in _tried(shop, here, who)]
    assert decided == [True, False]


def _tried(shop: Shop, here: Environment, who: str) -> list[bool]:
    tried = try_flag(shop.call, here, "other", somebody=who, context="")
    return [member.since_ms is not None for member in tried.members]


def test_an_audience_in_use_cannot_be_removed_without_saying_by_which_flags(shop: Shop) -> None:
    shop.account.taken(page(segment=4, task="1", add=["ann"]))
    (added,) = shop.add(4)
    made = add_rule(shop, "ship", added["list_id"])
    refused = shop.api("DELETE", f"/audiences/{added['id']}?environment=production", status=409)
    assert "flag 'ship'" in refused["detail"] and refused["code"] == "audience_in_use"
    assert "Take it out there first" in shop.owner.get(f"{HEAP}/audiences/{added['id']}").text
    assert "ship" in shop.owner.get(HEAP).text
    forced = shop.owner.post(f"{HEAP}/audiences/{added['id']}/remove")
    assert forced.status_code == 409 and "&#39;ship&#39;" in forced.text
    shop.account.client.delete(
        f"/api/v1/flags/ship/environments/production/rules/{made['id']}",
        headers={"Authorization": f"Bearer {shop.token}"},
    )
    assert shop.api("DELETE", f"/audiences/{added['id']}?environment=production") == {"is_on_offer": True}
    (offered,) = shop.api("GET", "/audiences/offered?environment=production")["segments"]
    assert (offered["heap_id"], offered["members"]) == ("4", 1)


def test_the_api_lists_tells_and_asks(shop: Shop) -> None:
    account = shop.account
    for number in range(3):
        account.taken(page(segment=5, task=str(number), add=[f"user {number}"]))
        account.later(minutes=1)
    account.send(page(segment=5, task="wrong", add=[7]))
    (added,) = shop.add(5)
    (listed,) = shop.api("GET", "/audiences?environment=production")["audiences"]
    assert listed == added == shop.api("GET", f"/audiences/{added['id']}?environment=production")
    assert (listed["state"], listed["members"], listed["added_last"]) == ("failed", 3, 1)
    url = f"/audiences/{added['id']}"
    first = shop.api("GET", f"{url}/history?environment=production&limit=3")
    rest = shop.api("GET", f"{url}/history?environment=production&after={first['next']}")
    states = [sync["state"] for sync in first["syncs"] + rest["syncs"]]
    assert (states, rest["next"]) == (["refused", "applied", "applied", "applied"], None)
    members = shop.api("GET", f"{url}/members?environment=production&limit=2")
    assert (members["total"], [member["value"] for member in members["members"]]) == (3, ["user 0", "user 1"])
    assert shop.api("GET", f"{url}/contains?environment=production&value=user%200")["is_member"]
    assert not shop.api("GET", f"{url}/contains?environment=production&value=User%200")["is_member"]
    shop.api("GET", f"{url}/contains?environment=development&value=x", status=404)
    shop.api("GET", "/audiences/999?environment=production", status=404)


def test_failing_and_silent_audiences_stand_on_home(shop: Shop) -> None:
    account = shop.account
    account.taken(page(segment=6, task="1", name="Silent one", add=["ann"]))
    account.taken(page(segment=7, task="2", name="Broken one", add=["ann"]))
    shop.add(6, 7)
    assert "Silent one" not in shop.owner.get("/env/production").text
    account.send(page(segment=7, task="3", name="Broken one", add=[""]))
    account.later(hours=25)
    text = shop.owner.get("/env/production").text
    assert "Audience Silent one has gone silent" in text and "Audience Broken one is not synced" in text
    account.taken(page(segment=7, task="4", name="Broken one"))
    account.taken(page(segment=6, task="5", name="Silent one"))
    assert "Silent one" not in shop.owner.get("/env/production").text


def test_an_audience_is_stale_after_three_times_its_usual_gap(shop: Shop) -> None:
    account = shop.account
    for number in range(4):
        account.taken(page(segment=8, task=str(number)))
        account.later(days=2)
    account.now -= timedelta(days=2)
    shop.add(8)
    account.later(days=6)
    assert shop.api("GET", "/audiences?environment=production")["audiences"][0]["state"] == "synced"
    account.later(seconds=1)
    assert shop.api("GET", "/audiences?environment=production")["audiences"][0]["state"] == "stale"


def test_a_workspace_knows_nothing_of_anothers_audiences(shop: Shop) -> None:
    other = "5b1c0000-0000-4000-8000-000000000002"
    connect(shop.account.core, "Rival", id_token=other, secret="other secret")
    shop.account.taken(page(segment=9, task="1", id_token=other, add=["ann"]), secret="other secret")
    refused = shop.account.send(page(segment=9, task="2", id_token=other, add=["ann"]))
    assert refused.status_code == 403
    theirs = shop.account.audience(9)
    assert shop.owner.get(f"{HEAP}/audiences/{theirs.id}").status_code == 404
    shop.api("GET", f"/audiences/{theirs.id}?environment=production", status=404)
    shop.api("DELETE", f"/audiences/{theirs.id}?environment=production", status=404)
    shop.api("POST", "/audiences?environment=production", {"heap_ids": ["9"]}, status=422)
    assert theirs.list_id in add_rule(shop, "ship", theirs.list_id, status=422)["detail"]
    with reading(shop.account.core.engine) as connection:
        assert len(connection.execute(sa.select(heap_connections)).all()) == 2
    with shop.account.core.engine.begin() as connection:
        connection.execute(sa.delete(heap_connections).where(heap_connections.c.id_token == other))

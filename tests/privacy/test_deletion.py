"""A deleted user is nowhere: in no answer, list or settings file, and in no file but what the receipt declares."""

import base64
import dataclasses
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cairn.clock import to_ms, utc_now
from cairn.event import Arrival
from cairn.eventlog.log import START
from cairn.eventlog.readers import LOADER
from cairn.ids import identified_user_id
from cairn.ingest.set_aside import SetAside, list_set_aside, set_aside
from cairn.members.environment import MAP_BYTES
from cairn.members.rewrite import ask_rewrite, is_rewrite_asked, rewrite_if_asked
from cairn.paths import Paths
from cairn.privacy import deletion
from cairn.store.question import ad_hoc
from cairn.workspace.permission import Role
from tests.patience import eventually
from tests.privacy.conftest import Running, Tenant, files_holding
from tests.seams import open_members
from tests.served import Served

pytestmark = pytest.mark.slow

ANN = "annquaint@leavertest"  # no dot: settings files write it in a pattern
BEN = "benstays@keepertest"
DEVICE = 5120993847261120  # Ann's anonymous id before she said who she is
JUNK = "x" * 2000


def tell_story(running: Running, tenant: Tenant) -> None:
    """Ann and Ben: anonymous first, identified, premium, buying, refused once, and known elsewhere too."""
    for identity, device in ((ANN, DEVICE), (BEN, DEVICE + 1)):
        running.track(tenant, "Looked", user_id=str(device), properties={"note": f"for {identity}"})
        running.send(tenant, "heap.identify", user_id=str(device), identity=identity)
        running.send(
            tenant,
            "heap.add_user_properties",
            identity=identity,
            properties={"plan": "premium", "email": identity},
        )
        for order in range(3):
            running.track(tenant, "Bought", identity=identity, properties={"order": order})
        running.track(tenant, "Paid", identity=identity, idempotency_key=f"paid-{identity}")
        running.track(tenant, "Paid", identity=identity, idempotency_key=f"paid-{identity}")
        running.track(tenant, "Late", identity=identity, timestamp="1971-01-01T00:00:00Z")
        running.send(
            tenant, "heap.track", environment_id=tenant.environment_id + 1, event="Tried", identity=identity
        )
        arrival = Arrival("heap.track", tenant.environment_id, 0, "heap", 0, "", "", identity.encode())
        request = SetAside(0, 1, int(identity == BEN), "crash")
        set_aside(Paths(running.folder).set_aside, request, msgspec.msgpack.encode(arrival))
    running.send(
        tenant, "heap.track", events=[{"event": "Bulk", "identity": one} for one in (ANN, BEN)], note=JUNK
    )
    eventually(lambda: running.members(tenant) == [ANN, BEN])
    eventually(lambda: ANN in running.inlined(tenant) and BEN in running.inlined(tenant))


def access(running: Running, tenant: Tenant, *, app_id: str = "", key: str = "") -> Any:
    pair = f"{app_id or tenant.app_id}:{key or tenant.tokens[Role.ADMIN]}"
    headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return running.client.post("/api/public/v0/auth_token", headers=headers)


def bearer(running: Running, tenant: Tenant) -> dict[str, str]:
    return {"Authorization": f"Bearer {access(running, tenant).json()['access_token']}"}


def delete(running: Running, tenant: Tenant, *users: dict[str, str]) -> str:
    answer = running.client.post(
        "/api/public/v0/user_deletion", headers=bearer(running, tenant), json={"users": list(users)}
    )
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert told["status"] == "pending"
    assert told["deletion_request_location"].endswith(f"/deletion_status/{told['deletion_request_id']}")
    return str(told["deletion_request_id"])


def status(running: Running, tenant: Tenant, request: str) -> str:
    answer = running.client.get(f"/api/public/v0/deletion_status/{request}", headers=bearer(running, tenant))
    assert answer.json()["deletion_request_id"] == request
    return str(answer.json()["status"])


def counted(running: Running, tenant: Tenant, identity: str) -> list[str]:
    """What the API knows of a user, by name of the event."""
    answer = running.call(tenant, "GET", f"/users/{identity}/events?environment=production")
    return sorted(event["name"] for event in answer.json()["events"]) if answer.status_code == 200 else []


def leftovers(running: Running, identity: str) -> list[str]:
    """Whatever an answer can still come from."""
    found = []
    for table, column in (
        ("events", "toString(properties)"),
        ("user_properties", "value"),
        ("refusals", "payload"),
    ):
        sql = (
            f"SELECT {column} FROM cairn.{table} "
            f"WHERE environment_id = {{environment:UInt32}} AND {column} LIKE '%{identity}%'"
        )
        for (environment_id,) in running.row("SELECT id FROM environments"):
            rows = running.core.store.query(ad_hoc(environment_id, sql))
            found += [f"{table} of {environment_id}: {row}" for row in rows]
    after = START
    while entries := running.core.log.read(after, limit_items=100):
        found += [
            f"log {entry.position}"
            for entry in entries
            if any(identity.encode() in item for item in entry.items)
        ]
        after = entries[-1].position
    return found


def test_a_deleted_user_is_nowhere_and_the_others_are_untouched(tmp_path: Path) -> None:
    running = Running(tmp_path / "data").start()
    tenant = running.tenant("leaver")
    tell_story(running, tenant)
    before = counted(running, tenant, BEN)
    eventually(lambda: len(counted(running, tenant, ANN)) == len(before))
    request = delete(running, tenant, {"user_id": str(DEVICE)})
    eventually(lambda: status(running, tenant, request) == "complete")

    assert counted(running, tenant, ANN) == []
    assert counted(running, tenant, BEN) == before
    assert running.members(tenant) == [BEN]
    eventually(lambda: ANN not in running.inlined(tenant))
    assert BEN in running.inlined(tenant)
    assert leftovers(running, ANN) == []
    assert leftovers(running, BEN)
    assert [kept.position for kept in list_set_aside(Paths(running.folder).set_aside)] == ["1.1"]
    told = running.call(tenant, "GET", f"/deletions/{request}").json()
    assert told["asked_by"] == "token admin"
    production, other = told["receipt"]["deleted"]
    assert (production["environment"], production["user_ids"]) == ("Production", 2)
    assert production["events"] >= 6
    assert production["merges"] == production["segments"] - 1 == 1
    assert production["lists"] >= 1
    assert production["refusals"] >= 2
    assert (other["environment"], other["events"]) == ("Development", 1)
    assert told["receipt"]["log_requests"] >= 8
    assert ANN not in str(told)
    assert str(DEVICE) not in str(told)

    again = delete(running, tenant, {"identity": ANN})
    eventually(lambda: status(running, tenant, again) == "complete")
    assert running.call(tenant, "GET", f"/deletions/{again}").json()["receipt"]["deleted"][0]["events"] == 0

    running.track(tenant, "Came back", identity=ANN)
    eventually(lambda: counted(running, tenant, ANN) == ["Came back"])
    user = running.call(tenant, "GET", f"/users/{ANN}?environment=production").json()
    assert user["user"]["identity"] == ANN
    assert user["user_ids"] == [identified_user_id(tenant.environment_id, ANN)]
    last = delete(running, tenant, {"identity": ANN})
    eventually(lambda: status(running, tenant, last) == "complete")

    running.close()
    paths = Paths(running.folder)
    assert set(files_holding(running.folder, ANN)) <= {"./members/data.mdb"}, "only what the receipt declares"
    assert rewrite_if_asked(paths.members, map_bytes=MAP_BYTES)
    assert files_holding(running.folder, ANN) == []
    assert files_holding(running.folder, str(DEVICE)) == []
    assert files_holding(running.folder, BEN)
    next_start = Running(running.folder).start()
    assert next_start.members(tenant) == [BEN]
    assert counted(next_start, tenant, BEN) == before
    next_start.close()


@pytest.mark.parametrize("folds_case", [False, True], ids=["letter by letter", "capitals do not count"])
def test_a_deleted_user_leaves_the_lists_that_people_filled(tmp_path: Path, folds_case: bool) -> None:
    """Also where the list keeps the name folded: `ẞ` in small letters is not what it is folded to."""
    running = Running(tmp_path / "data").start()
    tenant = running.tenant("leaver")
    name = "Großmann@shop.test"
    running.track(tenant, "Seen", identity=name)
    eventually(lambda: counted(running, tenant, name) == ["Seen"])
    made = {"name": "Own", "folds_case": folds_case}
    list_id = running.call(tenant, "POST", "/lists?environment=production", json=made).json()["id"]
    values = {"values": [name, "other@shop.test"]}
    added = running.call(tenant, "POST", f"/lists/{list_id}/values?environment=production", json=values)
    assert added.json()["size"] == 2
    request = delete(running, tenant, {"identity": name})
    eventually(lambda: status(running, tenant, request) == "complete")
    found = running.call(tenant, "GET", f"/lists/{list_id}/values?environment=production").json()
    assert [item["value"] for item in found["values"]] == ["other@shop.test"]
    running.close()


def test_killed_in_the_middle_it_goes_on(tmp_path: Path) -> None:
    """Killed after each part in turn: the next start finishes the same request."""
    running = Running(tmp_path / "data").start()
    tenant = running.tenant("leaver")
    tell_story(running, tenant)
    kept = counted(running, tenant, BEN)
    running.core.workers.stop()
    parts = running.deletion_resources()
    request = delete(running, tenant, {"identity": ANN})
    for name, method in (
        ("store", "query"),
        ("log", "erase"),
        ("store", "erase_users"),
        ("members", "apply_all"),
        ("feed", "forget"),
        ("store", "scrub"),
        ("log", "scrub"),
    ):
        dying = dataclasses.replace(parts, **{name: Dying(getattr(parts, name), method)})
        with pytest.raises(Killed):
            deletion.delete_users(dying, {"deletion_id": request})
    assert status(running, tenant, request) == "pending"
    running.close()

    running = Running(tmp_path / "data").start()
    eventually(lambda: status(running, tenant, request) == "complete")
    assert counted(running, tenant, BEN) == kept
    assert running.members(tenant) == [BEN]
    assert leftovers(running, ANN) == []
    assert running.row("SELECT users, found FROM deletions") == [(None, None)]
    running.close()


def outcome_counts(running: Running, tenant: Tenant, identity: str) -> list[Any]:
    """Rows of a user in the store, by what became of them; a request loaded twice would add some."""
    where = "environment_id = {environment:UInt32}"
    sql = f"""SELECT name, count() FROM cairn.events
              WHERE {where} AND properties['by'] = '{identity}' GROUP BY name
              UNION ALL SELECT reason, count() FROM cairn.refusals
              WHERE {where} AND user = '{identity}' GROUP BY reason"""
    return sorted(running.core.store.query(ad_hoc(tenant.environment_id, sql)))


def test_what_stays_of_the_log_is_the_same_when_it_is_read_again(tmp_path: Path) -> None:
    """Requests of both users in one entry of the log, erased while the log was still pending; then it is replayed."""
    running = Running(tmp_path / "data").start()
    tenant = running.tenant("leaver")
    running.core.workers.stop()
    requests = []
    for number in range(3):
        for identity in (ANN, BEN):
            for event in (
                {"event": "Bought", "identity": identity, "properties": {"by": identity, "number": number}},
                {"event": "Late", "identity": identity, "timestamp": "1971-01-01T00:00:00Z"},
            ):
                body = msgspec.json.encode({"app_id": tenant.app_id, **event})
                arrival = Arrival(
                    "heap.track", tenant.environment_id, 0, "heap", to_ms(utc_now()), "", "test", body
                )
                requests.append(msgspec.msgpack.encode(arrival))
    running.core.log.append(requests)
    request = delete(running, tenant, {"identity": ANN})
    running.close()

    running = Running(tmp_path / "data").start()
    eventually(lambda: status(running, tenant, request) == "complete")
    kept = outcome_counts(running, tenant, BEN)
    assert kept == [("Bought", 3), ("time_too_old", 3)]
    assert leftovers(running, ANN) == []
    running.close()
    for file in Paths(running.folder).log.parent.glob("*.cursors*"):
        file.unlink()

    running = Running(tmp_path / "data").start()
    eventually(lambda: running.core.log.committed(LOADER) == running.core.log.end())
    assert outcome_counts(running, tenant, BEN) == kept
    assert leftovers(running, ANN) == []
    assert running.core.log.damaged() == []
    running.close()


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class Dying:
    """A part of the core during whose method the process is killed, after it did its work."""

    def __init__(self, part: Any, method: str) -> None:
        self._part, self._method = part, method

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name != self._method:
            return found

        def die(*args: object, **more: object) -> None:
            found(*args, **more)
            raise Killed

        return die


def test_unknown_users_and_strangers_requests(running: Running) -> None:
    tenant, rival = running.tenant("leaver"), running.tenant("rival")
    running.track(rival, "Bought", identity=ANN)
    eventually(lambda: counted(running, rival, ANN) == ["Bought"])
    request = delete(running, tenant, {"identity": ANN}, {"user_id": "77"}, {"identity": 'é"\\\n'})
    eventually(lambda: status(running, tenant, request) == "complete")
    assert counted(running, rival, ANN) == ["Bought"], "another workspace's user"
    answer = running.client.get(f"/api/public/v0/deletion_status/{request}", headers=bearer(running, rival))
    assert answer.status_code == 404
    assert running.call(rival, "GET", f"/deletions/{request}").status_code == 404


def test_heaps_api_says_no(running: Running) -> None:
    tenant, rival = running.tenant("leaver"), running.tenant("rival")
    post = running.client.post
    for wrong in (
        access(running, tenant, app_id=tenant.other_app_id),
        access(running, tenant, app_id=rival.app_id),
        access(running, tenant, key="cairn_wrong"),
        access(running, tenant, key=tenant.tokens[Role.EDITOR]),
        post("/api/public/v0/auth_token"),
        post("/api/public/v0/auth_token", headers={"Authorization": "Basic !!"}),
        post("/api/public/v0/user_deletion", json={"users": [{"user_id": "1"}]}),
        post("/api/public/v0/user_deletion", headers={"Authorization": "Bearer x"}, json={"users": []}),
        running.client.get("/api/public/v0/deletion_status/x"),
    ):
        assert wrong.status_code == 401, wrong.text
        assert wrong.json()["err"]
    headers = bearer(running, tenant)
    for body in (
        b"{",
        b"[]",
        b'{"users":[]}',
        b'{"users":[{}]}',
        b'{"users":[{"user_id":"1","identity":"a"}]}',
        b'{"users":[{"user_id":"x"}]}',
        b'{"users":[{"user_id":"99999999999999999"}]}',
        b"[" * 100_000,
    ):
        answer = post("/api/public/v0/user_deletion", headers=headers, content=body)
        assert answer.status_code == 400, (body[:40], answer.text)
    many = {"users": [{"user_id": str(number + 1)} for number in range(10_001)]}
    assert post("/api/public/v0/user_deletion", headers=headers, json=many).status_code == 413
    many["users"].pop()
    assert post("/api/public/v0/user_deletion", headers=headers, json=many).status_code == 201


def test_an_access_token_ends(running: Running) -> None:
    tenant = running.tenant("leaver")
    headers = bearer(running, tenant)
    assert running.client.get("/api/public/v0/deletion_status/x", headers=headers).status_code == 404
    running.ahead = timedelta(minutes=5)
    answer = running.client.get("/api/public/v0/deletion_status/x", headers=headers)
    assert answer.status_code == 401


def test_the_rest_api_deletes_and_exports(running: Running) -> None:
    tenant = running.tenant("leaver")
    running.track(tenant, "Bought", identity=ANN)
    eventually(lambda: counted(running, tenant, ANN) == ["Bought"])
    told = running.call(tenant, "GET", f"/users/{ANN}/export?environment=production", role=Role.VIEWER).json()
    assert [event["name"] for event in told["events"]] == ["Bought"]
    assert (
        running.call(tenant, "DELETE", f"/users/{ANN}?environment=production", role=Role.EDITOR).status_code
        == 403
    )
    answer = running.call(tenant, "DELETE", f"/users/{ANN}?environment=production")
    assert answer.status_code == 202
    eventually(
        lambda: running.call(tenant, "GET", f"/deletions/{answer.json()['id']}").json()["state"] == "complete"
    )
    assert counted(running, tenant, ANN) == []
    assert running.call(tenant, "DELETE", f"/users/{ANN}?environment=production").status_code == 404


def test_the_next_start_writes_the_members_store_anew(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    members = open_members(Paths(folder).members)
    members.apply("list/a", add={ANN: 1, BEN: 2}, remove=())
    members.publish({"document": BEN.encode()})
    members.apply("list/a", add={}, remove=[ANN])
    members.close()
    ask_rewrite(Paths(folder).members)
    served = Served(folder).start()
    members = open_members(Paths(folder).members)
    assert members.values("list/a") == [(BEN, 2)]
    assert members.document("document") == BEN.encode()
    members.close()
    assert served.stop() == 0
    assert files_holding(folder, ANN) == []
    assert not is_rewrite_asked(Paths(folder).members)

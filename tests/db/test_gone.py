"""PostgreSQL killed under a running Cairn, away at its start, and back: real processes, nothing lost."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.databases import only_on_postgresql
from tests.patience import PATIENCE_S, eventually
from tests.postgresql import EMPTY, Databases, Server
from tests.served import Served
from tests.whole.conftest import Whole

pytestmark = only_on_postgresql


@pytest.fixture
def postgresql() -> Iterator[Server]:
    """One of the test's own."""
    server = Server()
    server.start()
    yield server
    server.kill()


@pytest.fixture
def cairn(tmp_path: Path, postgresql: Server) -> Iterator[Served]:
    """Of a database that was empty."""
    address = Databases(postgresql.folder).url("cairn", template=EMPTY)
    served = Served(tmp_path / "data", environment={"CAIRN_DATABASE_URL": address}).make_demo()
    yield served
    served.stop()


@pytest.fixture
def whole(cairn: Served) -> Iterator[Whole]:
    whole = Whole(cairn.start())
    yield whole
    whole.http.close()


def decided(cairn: Served) -> bool:
    """Whether the gateway serves the flags of the demo."""
    with httpx2.Client(base_url=cairn.url, timeout=PATIENCE_S) as caller:
        query = {"a": cairn.demo["account_id"], "i": cairn.production["sdk_key"], "s": "prod"}
        settings = caller.get("/server-side/v2-settings", params=query)
        return settings.status_code == 200 and bool(settings.json()["features"])


def test_while_postgresql_is_killed_pages_say_so_and_events_wait_for_it(
    cairn: Served, whole: Whole, postgresql: Server
) -> None:
    whole.send("/api/track", identity="ann@shop.test", event="Before")
    eventually(lambda: whole.events("ann@shop.test"))
    with whole.signed_in() as browser:
        postgresql.kill()
        page = browser.get("/env/development/live")
        assert page.status_code == 503 and "metadata database" in page.text, page.text
        assert "metadata database" in whole.api("GET", "/segments", status=503)["detail"]
        whole.identify(7, "ann@shop.test")
        whole.send("/api/track", identity="ann@shop.test", event="While it is away")
        assert decided(cairn)
        postgresql.start()
        eventually(lambda: "While it is away" in names(whole))
        eventually(lambda: 7 in whole.user("ann@shop.test")["user_ids"])
        assert browser.get("/env/development/live").status_code == 200
    ready = cairn.ready
    assert all(Path(f"/proc/{ready[pid]}").exists() for pid in ("core_pid", "edge_pid")), (
        "nothing was restarted"
    )
    rename(whole, "After its return")


def names(whole: Whole) -> set[str]:
    return {event["name"] for event in whole.events("ann@shop.test")}


def rename(whole: Whole, name: str) -> None:
    segment = whole.api("GET", "/segments", is_here=False)["segments"][0]
    changed = whole.api("PATCH", f"/segments/{segment['id']}", is_here=False, json={"name": name})
    assert changed["name"] == name


def test_a_start_without_postgresql_takes_events_and_goes_on_when_it_is_back(
    cairn: Served, whole: Whole, postgresql: Server
) -> None:
    whole.send("/api/track", identity="ann@shop.test", event="Before")
    eventually(lambda: decided(cairn) and "Before" in names(whole))
    port = cairn.port
    assert cairn.stop() == 0
    postgresql.kill()
    starting = threading.Thread(target=cairn.start, kwargs={"port": port})
    starting.start()
    eventually(lambda: accepts(whole, port))
    eventually(lambda: "metadata_database_away" in cairn.errors.read_text())
    assert decided(cairn) and starting.is_alive()
    postgresql.start()
    starting.join()
    eventually(lambda: "While it is away" in names(whole))
    assert "the core ended" not in cairn.errors.read_text()


def accepts(whole: Whole, port: int) -> bool:
    body = {"app_id": whole.app_id, "identity": "ann@shop.test", "event": "While it is away"}
    try:
        answer = httpx2.post(f"http://127.0.0.1:{port}/api/track", json=body, timeout=PATIENCE_S)
    except httpx2.TransportError:
        return False
    return answer.status_code == 200

"""Who may no longer see Live stops getting it, also in a window that was open before; and nobody holds many of them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from cairn.db.engine import open_engine, patient
from cairn.web.pages.live import MOST_STREAMS
from tests.databases import database_url
from tests.prepared import Demos
from tests.served import Served
from tests.whole.conftest import Whole, number, token_in

LIVE = "/env/development/live"


@pytest.fixture(scope="module")
def cairn(tmp_path_factory: pytest.TempPathFactory, demos: Demos) -> Iterator[Served]:
    served = demos.served(tmp_path_factory.mktemp("signed-out") / "data").start()
    yield served
    assert served.stop() == 0


def sign_out(browser: httpx2.Client, _: Path) -> None:
    done = browser.post("/sign-out", data={"csrf": token_in(browser.get(LIVE).text)})
    assert done.url.path == "/sign-in"


def in_database(change: str) -> Callable[[httpx2.Client, Path], None]:
    def run(_: httpx2.Client, data_dir: Path) -> None:
        engine = open_engine(database_url(data_dir))
        with patient(engine).begin() as connection:
            assert connection.exec_driver_sql(change).rowcount > 0
        engine.dispose()

    return run


@pytest.mark.parametrize(
    ("end", "undo", "keys"),
    [
        pytest.param(sign_out, None, "", id="signed out in another tab"),
        pytest.param(in_database("UPDATE sessions SET expires_at = 1"), None, "", id="session expired"),
        pytest.param(
            in_database("UPDATE members SET role = 'admin'"),
            in_database("UPDATE members SET role = 'owner'"),
            "unknown",
            id="no longer an owner, watching unknown keys",
        ),
        pytest.param(
            in_database("UPDATE environments SET key = 'gone' WHERE key = 'development'"),
            in_database("UPDATE environments SET key = 'development' WHERE key = 'gone'"),
            "",
            id="the environment is gone",
        ),
    ],
)
@pytest.mark.parametrize("is_busy", [False, True], ids=["quiet", "busy"])
def test_an_open_stream_ends_when_its_reader_may_no_longer_see_it(
    cairn: Served,
    end: Callable[[httpx2.Client, Path], None],
    undo: Callable[[httpx2.Client, Path], None] | None,
    keys: str,
    is_busy: bool,
) -> None:
    whole = Whole(cairn)
    with whole.signed_in() as browser, browser.stream("GET", f"{LIVE}/stream", params={"keys": keys}) as live:
        pieces = live.iter_text()
        assert "hello" in next(pieces)
        event = f"After the end {number()}"
        end(browser, cairn.data_dir)
        try:
            if is_busy:
                whole.send("/api/track", identity="ann@shop.test", event=event)
            assert event not in "".join(pieces), "the stream ended, and nothing came after"
            again = browser.get(f"{LIVE}/stream", params={"keys": keys}) if undo is None else None
            assert again is None or again.status_code == 401
        finally:
            if undo:
                undo(browser, cairn.data_dir)
    whole.http.close()


def test_a_reader_who_may_see_it_keeps_the_stream(cairn: Served) -> None:
    whole = Whole(cairn)
    with whole.signed_in() as browser, whole.signed_in() as other:
        with browser.stream("GET", f"{LIVE}/stream") as live:
            pieces = live.iter_text()
            assert "hello" in next(pieces)
            sign_out(other, cairn.data_dir)
            whole.send("/api/track", identity="ann@shop.test", event="Still here")
            assert any("Still here" in piece for piece in pieces)
    whole.http.close()


def test_one_session_holds_only_so_many_streams(cairn: Served) -> None:
    whole = Whole(cairn)
    with whole.signed_in() as browser:
        opened = []
        try:
            for _ in range(MOST_STREAMS):
                request = browser.build_request("GET", f"{LIVE}/stream")
                opened.append(browser.send(request, stream=True))
            assert {each.status_code for each in opened} == {200}
            assert browser.get(f"{LIVE}/stream").status_code == 429
            with whole.signed_in() as other:
                request = other.build_request("GET", f"{LIVE}/stream")
                answer = other.send(request, stream=True)
                assert answer.status_code == 200
                answer.close()
        finally:
            for each in opened:
                each.close()
    whole.http.close()

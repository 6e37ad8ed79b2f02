"""What the loader adds to captured events, what it leaves out, and what it says of where users came from."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cairn.ingest.location import open_locations
from cairn.members.sets import MembersAndDocuments
from tests.ingest.mmdb import write_mmdb
from tests.ingest.rig import NOW_MS, Rig, outcomes
from tests.ingest.test_device import CHROME, GOOGLEBOT
from tests.seams import open_members

MINUTE_MS = 60_000
PAGE = {"user_id": 1, "session_id": 5, "kind": "pageview"}


@pytest.fixture
def members(tmp_path: Path, rig: Rig) -> Any:
    opened = open_members(tmp_path / "members")
    rig.published = opened
    path = write_mmdb(tmp_path / "city.mmdb", {"203.0.113.0/24": {"country": "AT", "city": "Graz"}})
    rig.locate = open_locations(path)
    rig.restart()
    yield opened
    opened.close()


def allow(members: MembersAndDocuments, environment_id: int, document: Mapping[str, Any]) -> None:
    members.publish({f"capture/{environment_id}": msgspec.json.encode(document)})


@pytest.mark.parametrize(
    ("event", "columns", "expected"),
    [
        pytest.param(
            {**PAGE, "user_agent": CHROME, "facts": {"path": "/"}},
            "browser, os, device_type",
            ("Chrome", "Windows", "Desktop"),
            id="the device",
        ),
        pytest.param(
            {**PAGE, "user_agent": CHROME, "facts": {"browser": "Mine", "os_version": "11"}},
            "browser, os_version",
            ("Mine", "11"),
            id="what the client said stays",
        ),
        pytest.param(
            {
                **PAGE,
                "facts": {
                    "referrer": "https://www.google.com/?q=x",
                    "landing_domain": "a.test",
                    "landing_path": "/",
                    "domain": "a.test",
                },
            },
            "channel, search_keyword",
            ("Organic Search", "x"),
            id="where the session came from",
        ),
        pytest.param(
            {**PAGE, "facts": {"landing_path": "/", "query": "?utm_source=x"}},
            "channel, utm_source",
            ("Direct", ""),
            id="the landing page counts, not a later one",
        ),
        pytest.param(
            {**PAGE, "session_id": 0, "facts": {"path": "/"}}, "channel, path", ("", "/"), id="no session"
        ),
        pytest.param({"user_id": 1}, "channel, browser", ("", ""), id="a server's event"),
        pytest.param(
            {**PAGE, "ip": "203.0.113.7", "facts": {"path": "/", "ip": "1.2.3.4"}},
            "country, city, ip",
            ("AT", "Graz", ""),
            id="the place, not the address",
        ),
        pytest.param(
            {"user_id": 1, "ip": "203.0.113.7", "user_agent": CHROME},
            "city, browser, ip",
            ("Graz", "Chrome", ""),
            id="a device's event without facts",
        ),
    ],
)
def test_what_is_added(
    rig: Rig,
    members: Any,
    environment_id: int,
    event: dict[str, Any],
    columns: str,
    expected: tuple[str, ...],
) -> None:
    rig.send(event, environment_id=environment_id)
    rig.load()
    assert rig.events(environment_id, columns) == [expected]


def test_addresses_are_kept_where_the_environment_says_so(
    rig: Rig, members: MembersAndDocuments, environment_id: int
) -> None:
    for keep in (True, False):
        allow(members, environment_id, {"keep_ip": keep})
        rig.send({"user_id": 1, "ip": "203.0.113.7"}, environment_id=environment_id)
        rig.send({"user_id": 1, "ip": "203.0.113.7"}, environment_id=environment_id + 1)
        rig.load()
    assert rig.events(environment_id, "ip") == ["203.0.113.7", ""]
    assert rig.events(environment_id + 1, "ip") == ["", ""]


def test_what_is_shown_of_refused_ones_keeps_no_address_either(
    rig: Rig, members: MembersAndDocuments, environment_id: int
) -> None:
    body = '{"event":"Paid","context":{"ip":"203.0.113.7"},"d":{"visitor_ip" : "203.0.113.8"}'
    for keep in (False, True):
        allow(members, environment_id, {"keep_ip": keep})
        rig.send({"refuse": "event_not_defined", "payload": body}, environment_id=environment_id)
        rig.load()
    first, second = rig.refusals(environment_id, "payload")
    assert "203.0.113" not in first and first.count("(left out)") == 2
    assert second == body


@pytest.mark.parametrize(
    "body",
    [
        '{"writeKey":"wk_secretkey","event":"Paid"}',
        '{"batch":[],"writeKey" : "wk_secretk',
        '{"d":{"event":{"props":{"vwo_envKey":"wk_secretkey"}}}}',
        '{"sdkKey":"wk_secretkey"}',
        "a=12&env=wk_secretkey&en=purchase",
    ],
)
def test_what_is_shown_of_refused_ones_holds_four_characters_of_a_key(
    rig: Rig, environment_id: int, body: str
) -> None:
    rig.send({"refuse": "unknown_key", "payload": body}, environment_id=environment_id)
    rig.load()
    [shown] = rig.refusals(environment_id, "payload")
    assert "wk_s…" in shown and "wk_se" not in shown


@pytest.mark.parametrize(
    ("document", "event", "expected"),
    [
        pytest.param({"capture": {"mode": "block", "pages": ["/pay"]}}, "/pay", "blocked_page", id="blocked"),
        pytest.param({"capture": {"mode": "block", "pages": ["/pay"]}}, "/shop", "stored", id="not blocked"),
        pytest.param(
            {"capture": {"mode": "allow", "pages": ["/shop"]}}, "/pay", "blocked_page", id="not allowed"
        ),
        pytest.param({"capture": {"mode": "allow", "pages": ["/shop"]}}, None, "stored", id="no page"),
        pytest.param({"capture": {"mode": "later", "pages": 7}}, "/pay", "stored", id="unreadable"),
        pytest.param({"consent": {"required": True}}, "/pay", "stored", id="about other things"),
    ],
)
def test_pages_that_are_not_to_be_captured(
    rig: Rig,
    members: MembersAndDocuments,
    environment_id: int,
    document: Any,
    event: str | None,
    expected: str,
) -> None:
    allow(members, environment_id, document)
    facts = {} if event is None else {"domain": "a.test", "path": event}
    rig.send({**PAGE, "facts": facts}, {"user_id": 1}, environment_id=environment_id)
    rig.load()
    assert outcomes(rig, environment_id) == [expected, "stored"]


def test_declared_bots_are_left_out(rig: Rig, environment_id: int) -> None:
    bot = {**PAGE, "user_agent": GOOGLEBOT, "identity": "bot@a.test", "merge_user_id": 1}
    rig.send(bot, {**PAGE, "user_agent": CHROME}, environment_id=environment_id)
    rig.load()
    assert outcomes(rig, environment_id) == ["bot", "stored"]
    assert rig.properties(environment_id).get((1, "identity")) is None


def first(rig: Rig, environment_id: int, user_id: int = 1) -> dict[str, str]:
    found = rig.properties(environment_id)
    return {
        key.removeprefix("initial_"): value
        for (user, key), value in found.items()
        if user == user_id and key.startswith("initial_") and value
    }


SESSIONS = [
    {"time_ms": NOW_MS - 3 * MINUTE_MS, "session_id": 1, "facts": {"landing_path": "/a", "domain": "a.test"}},
    {
        "time_ms": NOW_MS - 2 * MINUTE_MS,
        "session_id": 2,
        "facts": {"landing_path": "/b", "referrer": "https://www.google.com/?q=b"},
    },
    {"time_ms": NOW_MS - MINUTE_MS, "session_id": 3, "facts": {"landing_path": "/c", "utm_source": "c"}},
]


class TestFirstSeen:
    @pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
    @pytest.mark.parametrize("how", ["one batch", "several batches", "several processes"])
    def test_is_the_earliest_session_in_any_order_of_arrival(
        self, rig: Rig, environment_id: int, order: tuple[int, ...], how: str
    ) -> None:
        for number in order:
            rig.send({"user_id": 1, "kind": "pageview", **SESSIONS[number]}, environment_id=environment_id)
            if how != "one batch":
                rig.load()
            if how == "several processes":
                rig.restart()
        rig.load()
        assert first(rig, environment_id) == {"landing_path": "/a", "channel": "Direct"}

    def test_is_kept_by_user_and_environment(self, rig: Rig, environment_id: int) -> None:
        for number, (user_id, environment) in enumerate([(1, 0), (2, 0), (1, 1)]):
            event = {"kind": "pageview", **SESSIONS[number], "user_id": user_id}
            rig.send(event, environment_id=environment_id + environment)
            rig.load()
        found = [first(rig, environment_id + e, user)["landing_path"] for user, e in [(1, 0), (2, 0), (1, 1)]]
        assert found == ["/a", "/b", "/c"]

    @pytest.mark.parametrize("earlier_first", [True, False])
    def test_a_client_may_say_it_itself(self, rig: Rig, environment_id: int, earlier_first: bool) -> None:
        said = [
            {
                "user_id": 1,
                "kind": "identify",
                "time_ms": NOW_MS - number,
                "user_properties": {"initial_utm_source": f"s{number}", "plan": f"p{number}"},
            }
            for number in (5, 6)
        ]
        rig.send(*(reversed(said) if earlier_first else said), environment_id=environment_id)
        rig.load()
        assert first(rig, environment_id) == {"utm_source": "s6", "channel": "Other Campaign"}
        assert rig.properties(environment_id)[1, "plan"] == "p5"

    def test_a_server_says_nothing_of_it(self, rig: Rig, environment_id: int) -> None:
        rig.send({"user_id": 1, "session_id": 7}, environment_id=environment_id)
        rig.load()
        assert first(rig, environment_id) == {}

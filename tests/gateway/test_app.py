"""The gateway's paths over real sockets: what an SDK gets, also when something is wrong with us."""

import gzip
import json
import socket
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from cairn.event import Draft, Refused
from cairn.gateway.app import LOOK_UP_S, Gateway
from cairn.ids import key_hash
from cairn.members.sets import Members, list_set
from cairn.outcomes import Reason
from cairn.published.directory import Directory, Sdk
from cairn.wire.wingify import parse_batch, parse_event
from tests.gateway.serving import (
    ACCOUNT,
    EXACT,
    FOLDING,
    KEY,
    OTHER_KEY,
    PRODUCTION,
    SERVER_KEY,
    STAGING,
    Port,
    Serving,
    needing_server_key,
    read_answer,
    serving,
)
from tests.ingest.mmdb import write_mmdb
from tests.patience import PATIENCE_S

SETTINGS = (
    "/server-side/v2-settings?i={key}&r=0.5&a=12345&platform=server&sn={sn}&sv=1.60.0&api-version=1&s=prod"
)


def document(version: int) -> bytes:
    feature = {
        "id": 1,
        "key": "f",
        "name": "F",
        "type": "FEATURE_FLAG",
        "status": "ON",
        "metrics": [],
        "rules": [],
    }
    return json.dumps(
        {
            "version": version,
            "accountId": ACCOUNT,
            "sdkKey": "__SDK_KEY__",
            "features": [feature],
            "campaigns": [],
        }
    ).encode()


def settings(served: Serving, *, key: str = KEY, sn: str = "vwo-fme-node-sdk", path: str = SETTINGS) -> Any:
    status, _, body = served.get(path.format(key=key, sn=sn).encode())
    return json.loads(body) if status == 200 else status


@pytest.mark.parametrize(
    ("method", "path", "handled"),
    [
        ("GET", "/server-side/v2-settings", True),
        ("GET", "/server-side/v2-pull", True),
        ("GET", "/get-user-details", True),
        ("GET", "/check-attribute", True),
        ("POST", "/events/t", True),
        ("POST", "/as01/events/t", True),
        ("POST", "/server-side/batch-events-v2", True),
        ("POST", "/as01/server-side/batch-events-v2", True),
        ("OPTIONS", "/events/t", True),
        ("POST", "/user-alias/setUserAlias", True),
        ("GET", "/user-alias/getAliasUserId", True),
        ("GET", "/as01/check-attribute", False),
        ("POST", "/a/b/events/t", False),
        ("GET", "/events", False),
        ("GET", "/", False),
        ("GET", "/api/flags", False),
    ],
)
def test_paths(method: str, path: str, handled: bool) -> None:
    assert Gateway.handles(method, path) is handled


def test_settings_are_chosen_by_sdk_and_carry_the_callers_key(served: Serving) -> None:
    served.store.publish(
        {f"settings/{PRODUCTION}/node": document(1), f"settings/{PRODUCTION}/python": document(2)}
    )
    found = {
        sn: (settings(served, sn=sn)["version"], settings(served, sn=sn)["sdkKey"])
        for sn in (
            "vwo-fme-node-sdk",
            "vwo-fme-javascript-sdk",
            "vwo-fme-python-sdk",
            "wingify-fme-python-sdk",
            "",
        )
    }
    assert found == {
        "vwo-fme-node-sdk": (1, KEY),
        "vwo-fme-javascript-sdk": (1, KEY),
        "vwo-fme-python-sdk": (2, KEY),
        "wingify-fme-python-sdk": (2, KEY),
        "": (1, KEY),
    }


def test_both_settings_paths_answer_the_same(served: Serving) -> None:
    served.store.publish({f"settings/{PRODUCTION}/node": document(3)})
    assert settings(served) == settings(served, path=SETTINGS.replace("v2-settings", "v2-pull"))


def test_settings_follow_what_is_published_and_keep_the_last_good(served: Serving) -> None:
    name = f"settings/{PRODUCTION}/node"
    served.store.publish({name: document(1)})
    assert settings(served)["version"] == 1
    served.store.publish({name: document(2)})
    assert settings(served)["version"] == 2
    served.store.publish({name: b'{"features": []}'})
    assert settings(served)["version"] == 2, "a document that would switch every flag off is never served"
    assert served.gateway.health()["counts"]["settings_files_refused"] == 1
    served.store.publish({name: None})
    assert settings(served)["features"] == []


def test_a_known_environment_without_a_document_gets_a_valid_empty_one(served: Serving) -> None:
    served.store.publish({f"settings/{PRODUCTION}/node": document(1)})
    assert settings(served, key=OTHER_KEY) == {
        "version": 1,
        "accountId": ACCOUNT,
        "sdkKey": OTHER_KEY,
        "pollInterval": 30_000,
        "features": [],
        "campaigns": [],
    }


def test_settings_once_read_are_served_with_the_store_away(served: Serving) -> None:
    served.store.publish({f"settings/{PRODUCTION}/node": document(1)})
    settings(served)
    served.is_store_away = True
    assert settings(served)["version"] == 1
    assert settings(served, key=OTHER_KEY) == 400, "never an empty document that would switch flags off"
    assert settings(served, key="f" * 32) == 400
    assert (
        served.post(f"/events/t?en=purchase&a=12345&env={KEY}".encode(), json.dumps(EVENT).encode())[0] == 200
    )
    assert served.arrivals[0].environment_id == PRODUCTION
    served.is_store_away = False
    assert settings(served, key=OTHER_KEY)["features"] == []


@pytest.mark.parametrize("key", ["", "f" * 32, "%00", quote("ключ")])
def test_an_unknown_key_fails_fast(served: Serving, key: str) -> None:
    status, head, body = served.get(SETTINGS.format(key=key, sn="vwo-fme-node-sdk").encode())
    assert (status, b"application/json" in head) == (400, True)
    assert "SDK key" in json.loads(body)["error"]


def test_a_key_made_a_moment_ago_is_found(served: Serving) -> None:
    new_key = "9" * 32
    served.refreshed = [Directory(sdks={key_hash(new_key): Sdk(9, 1, ACCOUNT)})]
    assert settings(served, key=new_key)["sdkKey"] == new_key


@pytest.mark.parametrize(
    ("offered", "compressed"), [(b"gzip, deflate", True), (b"identity", False), (b"", False)]
)
def test_gzip_only_when_asked(served: Serving, offered: bytes, compressed: bool) -> None:
    served.store.publish({f"settings/{PRODUCTION}/node": document(1)})
    headers = (b"Accept-Encoding: " + offered,) if offered else ()
    _, head, body = served.get(SETTINGS.format(key=KEY, sn="vwo-fme-node-sdk").encode(), *headers)
    assert (b"content-encoding: gzip" in head) is compressed
    assert json.loads(gzip.decompress(body) if compressed else body)["version"] == 1


CHROME_ON_MAC = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36"
)
MAC = {
    "os": "Mac OS",
    "browser_string": "Chrome",
    "device_type": "desktop",
    "device": "Mac",
    "browser_version": "126.0.0",
    "os_version": "10.15.7",
}
GRAZ = {"country": "Austria", "region": "Styria", "city": "Graz"}


@pytest.mark.parametrize(
    ("agent", "ip", "expected"),
    [
        pytest.param(
            quote(CHROME_ON_MAC),
            "203.0.113.7",
            {"location": GRAZ, "userAgent": MAC},
            id="both, as Node writes them",
        ),
        pytest.param(
            CHROME_ON_MAC.replace(" ", "+"), "", {"userAgent": MAC}, id="only the agent, as Python writes it"
        ),
        pytest.param("undefined", "203.0.113.7", {"location": GRAZ}, id="only the address"),
        pytest.param("undefined", "198.51.100.7", {}, id="an address outside the file"),
        pytest.param("%00%FF" * 2_000, "not-an-address", {}, id="neither can be read"),
        pytest.param("undefined", "undefined", {}, id="the Node SDK before a list check"),
    ],
)
def test_user_details_say_what_is_known_of_device_and_location(
    port: Port, tmp_path: Path, agent: str, ip: str, expected: dict[str, Any]
) -> None:
    places = write_mmdb(tmp_path / "city.mmdb", {"203.0.113.0/24": GRAZ})
    with serving(port, tmp_path, locations=places) as served:
        target = f"/get-user-details?accountId=12345&userAgent={agent}&ipAddress={ip}"
        status, head, body = served.get(target.encode())
    assert (status, json.loads(body), b"content-type: application/json" in head) == (200, expected, True)


VALUES = [
    "a@b.com",
    "a+b@x.com",
    "a&b",
    "50%",
    "a#b",
    'a"b',
    "<x>",
    "café",
    "a=b",
    "{x}",
    "a'b",
    "a|b",
    "a\\b",
    "?x",
]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("written", ["raw", "escaped", "pieces"])
def test_list_check_finds_exactly_the_value(served: Serving, value: str, written: str) -> None:
    served.members_of(EXACT, value)
    sent = value.encode("latin-1") if written != "escaped" else quote(value, safe="").encode()
    for asked, expected in ((sent, b"true"), (sent + b"x", b"false")):
        target = b"/check-attribute?attribute=" + asked + f"&listId={EXACT}&accountId={ACCOUNT}".encode()
        request = b"GET " + target + b" HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n"
        status, head, body = served.raw(request, pieces=9 if written == "pieces" else 1)
        assert (status, body) == (200, expected)
        assert b"content-type: application/json" in head


def test_list_checks_share_a_connection(served: Serving) -> None:
    """Node keeps connections alive; each request line is repaired, not only the first."""
    served.members_of(EXACT, "é", "a#b")
    with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE_S) as connection:
        answers = []
        for value in (b"\xe9", b"a#b", b"\xe8", b"a#c", b"\xe9"):
            line = (
                b"GET /check-attribute?attribute=" + value + f"&listId={EXACT}&accountId={ACCOUNT}".encode()
            )
            connection.sendall(line + b" HTTP/1.1\r\nHost: gw\r\n\r\n")
            answers.append(read_answer(connection)[2])
    assert answers == [b"true", b"true", b"false", b"false", b"true"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param(
            f"attribute=ADA@Shop.test&listId={FOLDING}&accountId={ACCOUNT}", b"true", id="folding list"
        ),
        pytest.param(
            f"attribute=ADA@shop.test&listId={EXACT}&accountId={ACCOUNT}", b"false", id="exact list"
        ),
        pytest.param(
            f"attribute=ada@shop.test&listId={EXACT}&accountId={ACCOUNT}", b"true", id="exact value"
        ),
        pytest.param(
            f"listId={EXACT}&attribute=ada%40shop.test&accountId={ACCOUNT}", b"true", id="any order"
        ),
        pytest.param(
            f"attribute=ada@shop.test&listId=l-none&accountId={ACCOUNT}", b"false", id="unknown list"
        ),
        pytest.param(f"attribute=ada@shop.test&listId={EXACT}&accountId=999", b"false", id="another account"),
        pytest.param(f"attribute=ada@shop.test&listId={EXACT}", b"false", id="no account"),
        pytest.param("", b"false", id="nothing"),
    ],
)
def test_list_check_answers(served: Serving, query: str, expected: bytes) -> None:
    served.members_of(EXACT, "ada@shop.test")
    served.members_of(FOLDING, "ada@shop.test")
    status, _, body = served.get(b"/check-attribute?" + query.encode())
    assert (status, body) == (200, expected)


def test_a_member_is_seen_by_the_very_next_check(served: Serving) -> None:
    target = f"/check-attribute?attribute=ada&listId={EXACT}&accountId={ACCOUNT}".encode()
    before = served.get(target)[2]
    served.store.apply(list_set(EXACT), add={"ada": 1}, remove=())
    during = served.get(target)[2]
    served.store.apply(list_set(EXACT), add={}, remove=("ada",))
    assert [before, during, served.get(target)[2]] == [b"false", b"true", b"false"]


EVENT = {
    "d": {"visId": "V1", "event": {"name": "purchase", "time": 1_795_304_865_757, "props": {"amount": 5}}}
}


@pytest.mark.parametrize(
    ("target", "headers", "environment"),
    [
        pytest.param(
            f"/events/t?en=purchase&a=12345&env={KEY}&visitor_ua=undefined", (), PRODUCTION, id="sdk key"
        ),
        pytest.param(f"/events/t?en=purchase&a=12345&env={OTHER_KEY}", (), STAGING, id="another key"),
        pytest.param(f"/as01/events/t?en=purchase&env={KEY}", (), PRODUCTION, id="collection prefix"),
        pytest.param(
            f"/events/t?en=purchase&env={KEY}",
            (b"Content-Type: text/plain",),
            PRODUCTION,
            id="a browser's text",
        ),
    ],
)
def test_an_event_arrives_under_its_environment(
    served: Serving, target: str, headers: tuple[bytes, ...], environment: int
) -> None:
    status, _, body = served.post(target.encode(), json.dumps(EVENT).encode(), *headers)
    assert (status, body) == (200, b"{}")
    (arrival,) = served.arrivals
    assert (arrival.parser, arrival.environment_id, arrival.source) == ("wingify.event", environment, "flags")
    (parsed,) = parse_event(arrival)
    assert isinstance(parsed, Draft)
    assert parsed.name == "purchase"


@pytest.mark.parametrize(
    "query",
    ["", "a=12345", "a=999", f"a=12345&env={'f' * 32}", "en=vwo_variationShown&a=12345&env=undefined"],
)
@pytest.mark.parametrize("path", ["/events/t", "/server-side/batch-events-v2"])
def test_without_an_sdk_key_nothing_is_stored(served: Serving, path: str, query: str) -> None:
    """An account's id is no secret: it answers list checks, and writes nothing."""
    status, _, body = served.post(f"{path}?{query}".encode(), json.dumps({**EVENT, "ev": [EVENT]}).encode())
    assert (status, "SDK key" in json.loads(body)["error"]) == (400, True)
    assert served.arrivals == []
    (refused,) = served.refusals
    assert (refused.reason, refused.environment_id) == (Reason.UNKNOWN_KEY, 0)


@pytest.mark.parametrize(
    "target",
    [
        f"/events/t?en=purchase&env={KEY}",
        f"/server-side/batch-events-v2?env={KEY}",
        f"/user-alias/setUserAlias?sdkKey={KEY}&userId=u1&aliasId=visitor-1",
    ],
)
def test_the_public_key_writes_nothing_where_the_servers_is_needed(served: Serving, target: str) -> None:
    served.directory = needing_server_key()
    body = json.dumps({**EVENT, "ev": [EVENT]}).encode()
    status, _, answer = served.post(target.encode(), body)
    assert (status, "server SDK key" in json.loads(answer)["error"]) == (400, True)
    assert served.arrivals == []
    if "Alias" not in target:
        (refused,) = served.refusals
        assert (refused.reason, refused.environment_id) == (Reason.SERVER_KEY_NEEDED, PRODUCTION)
    aliases = f"/user-alias/getAliasUserId?sdkKey={KEY}&userId=[%22visitor-1%22]"
    assert b'"u1"' not in served.get(aliases.encode())[2]
    assert served.post(target.replace(KEY, SERVER_KEY).encode(), body)[0] == 200
    assert len(served.arrivals) == ("Alias" not in target)


@pytest.mark.parametrize("place", ["event", "visitor"])
def test_a_key_in_the_body_counts_when_the_address_was_cut(served: Serving, place: str) -> None:
    """Node writes the name `Order #1` as it is, and what follows the `#` never leaves the client."""
    body = json.loads(json.dumps(EVENT))
    name = "vwo_envKey" if place == "event" else "vwo_fs_environment"
    body["d"].setdefault(place, {}).setdefault("props", {})[name] = OTHER_KEY
    assert served.post(b"/events/t?en=Order%20", json.dumps(body).encode())[0] == 200
    (arrival,) = served.arrivals
    assert arrival.environment_id == STAGING
    assert [event.name for event in parse_event(arrival)] == ["purchase"]


@pytest.mark.parametrize(
    "body", [b'{"ev":["' + b'\\"' * 400_000, b"[" * 900_000, b'{"ev":7}' + b" " * 9_000_000]
)
def test_a_batch_that_cannot_be_read_leaves_its_reason_only(served: Serving, body: bytes) -> None:
    target = f"/server-side/batch-events-v2?env={KEY}".encode()
    assert served.post(target, body)[0] == 200
    (arrival,) = served.arrivals
    assert len(arrival.body) <= 8_000
    (refused,) = parse_batch(arrival)
    assert isinstance(refused, Refused) and body.startswith(refused.payload[:100].encode())


def test_an_events_visitor_comes_from_its_headers(served: Serving) -> None:
    target = f"/events/t?en=purchase&env={KEY}&visitor_ua=None&visitor_ip=undefined".encode()
    served.post(
        target,
        json.dumps(EVENT).encode(),
        b"X-Device-User-Agent: Firefox",
        b"VWO-X-Forwarded-For: 203.0.113.7",
    )
    served.post(target, json.dumps(EVENT).encode())
    assert [(arrival.user_agent, arrival.ip) for arrival in served.arrivals] == [
        ("Firefox", "203.0.113.7"),
        ("", ""),
    ]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'"text"'])
def test_a_malformed_event_is_answered_200_and_refused_where_people_see_it(
    served: Serving, body: bytes
) -> None:
    assert served.post(f"/events/t?en=e&env={KEY}".encode(), body)[0] == 200
    (refused,) = parse_event(served.arrivals[0])
    assert isinstance(refused, Refused)
    assert refused.reason in (Reason.MALFORMED_JSON, Reason.NOT_UTF8, Reason.BAD_REQUEST)


def test_an_oversize_event_is_answered_200_and_refused_where_people_see_it(served: Serving) -> None:
    assert served.post(f"/events/t?en=e&env={KEY}".encode(), b" " * 1_100_000)[0] == 200
    (refused,) = parse_event(served.arrivals[0])
    assert isinstance(refused, Refused) and refused.reason is Reason.BODY_TOO_LARGE


@pytest.mark.parametrize(
    ("body", "status", "results"),
    [
        pytest.param(json.dumps({"ev": [EVENT, EVENT]}).encode(), 200, 2, id="two"),
        pytest.param(b'{"ev":[]}', 200, 0, id="none, as Python sends it"),
        pytest.param(json.dumps({"ev": [EVENT] * 5000}).encode(), 200, 5000, id="most"),
        pytest.param(json.dumps({"ev": [EVENT] * 5001}).encode(), 413, None, id="too many"),
        pytest.param(b" " * 10_500_000, 413, None, id="too large"),
        pytest.param(b"not json" * 5000, 200, 1, id="malformed"),
    ],
)
def test_batches(served: Serving, body: bytes, status: int, results: int | None) -> None:
    target = b"/server-side/batch-events-v2?a=12345&sn=vwo-fme-python-sdk&sv=1.65.0"
    assert served.post(target, body, b"Authorization: " + OTHER_KEY.encode())[0] == status
    if results is None:
        assert served.arrivals == []
    else:
        (arrival,) = served.arrivals
        assert (arrival.parser, arrival.environment_id) == ("wingify.batch", STAGING)
        assert len(parse_batch(arrival)) == results


@pytest.mark.parametrize("target", ["/events/t?en=e", "/server-side/batch-events-v2?a=12345"])
def test_what_is_not_durable_is_not_acknowledged(served: Serving, target: str) -> None:
    served.is_disk_full = True
    status, _, _ = served.post(f"{target}&env={KEY}".encode(), b'{"ev":[]}')
    assert status == 400, "not 200, and nothing an SDK blocks on"
    assert served.gateway.health()["counts"]["failures"] == 1


def alias_target(ids: str) -> bytes:
    return f"/user-alias/getAliasUserId?accountId=12345&sdkKey={KEY}&userId={ids}".encode("latin-1")


@pytest.mark.parametrize("alias", ["visitor-1", "a+b@x.com", "a&b", "café"])
def test_an_alias_is_readable_at_once(served: Serving, alias: str) -> None:
    set_target = f"/user-alias/setUserAlias?accountId=12345&sdkKey={KEY}&userId=u&aliasId=x".encode()
    body = json.dumps({"userId": "real-user-9", "aliasId": alias}).encode()
    assert served.post(set_target, body)[2] == b'{"isAliasSet":true}'
    asked = json.dumps([alias, "stranger"], ensure_ascii=False)
    expected = [
        {"aliasId": alias, "userId": "real-user-9"},
        {"aliasId": "stranger", "userId": "stranger"},
    ]
    assert json.loads(served.get(alias_target(asked.replace(" ", "")))[2]) == expected, (
        "raw, as Node writes it"
    )
    assert json.loads(served.get(alias_target(quote(asked)))[2]) == expected, "escaped, as Python writes it"


def test_the_last_alias_wins_and_another_environment_does_not_see_it(served: Serving) -> None:
    for user in ("first", "second"):
        target = f"/user-alias/setUserAlias?sdkKey={KEY}&userId={user}&aliasId=v".encode()
        assert served.post(target, b"")[0] == 200
    assert json.loads(served.get(alias_target('["v"]'))[2]) == [{"aliasId": "v", "userId": "second"}]
    other = f'/user-alias/getAliasUserId?sdkKey={OTHER_KEY}&userId=["v"]'.encode()
    assert json.loads(served.get(other)[2]) == [{"aliasId": "v", "userId": "v"}]


@pytest.mark.parametrize("query", [f'sdkKey={KEY}&userId=["x"]', 'sdkKey=none&userId=["x"]', 'userId=["x"]'])
def test_an_unknown_alias_stands_for_itself(served: Serving, query: str) -> None:
    status, _, body = served.get(f"/user-alias/getAliasUserId?{query}".encode())
    assert (status, json.loads(body)) == (200, [{"aliasId": "x", "userId": "x"}])


@pytest.mark.parametrize("query", ["", "userId=", "userId=[", f"sdkKey={KEY}&userId=5"])
def test_no_aliases_are_an_empty_list(served: Serving, query: str) -> None:
    status, _, body = served.get(f"/user-alias/getAliasUserId?{query}".encode())
    assert (status, body) == (200, b"[]")


def test_an_alias_needs_two_ids(served: Serving) -> None:
    target = f"/user-alias/setUserAlias?sdkKey={KEY}&userId=u".encode()
    assert served.post(target, b'{"userId":"u","aliasId":7}')[0] == 400


def test_browsers_may_call_from_anywhere(served: Serving) -> None:
    status, head, _ = served.raw(
        b"OPTIONS /events/t HTTP/1.1\r\nHost: gw\r\nOrigin: https://shop.test\r\n\r\n"
    )
    assert status == 200
    assert b"access-control-allow-origin: *" in head
    for needed in (
        b"authorization",
        b"x-device-user-agent",
        b"vwo-x-forwarded-for",
        b"content-type",
        b"post",
    ):
        assert needed in head


@pytest.mark.parametrize("method", [b"DELETE", b"PUT", b"POST"])
def test_other_methods_fail_fast(served: Serving, method: bytes) -> None:
    status, _, body = served.raw(
        method + b" /check-attribute HTTP/1.1\r\nHost: gw\r\nContent-Length: 0\r\n\r\n"
    )
    assert (status, "error" in json.loads(body)) == (400, True)


def test_a_request_line_without_end_is_refused(served: Serving) -> None:
    assert served.raw(b"GET /check-attribute?attribute=" + b"a" * 70_000)[0] == 400


def test_connected_sdks_are_listed_with_what_they_report(served: Serving) -> None:
    settings(served)
    for name, props in (
        ("vwo_fmeSdkInit", {}),
        ("vwo_sdkDebug", {"vwoMeta": {"msg_t": "EVENT_NOT_FOUND", "msg": "no metric named purchase"}}),
        ("vwo_sdkDebug", {"vwoMeta": 5}),
    ):
        body = json.dumps({"d": {"visId": "V", "event": {"name": name, "props": props}}}).encode()
        served.post(f"/events/t?en={name}&env={KEY}&sn=vwo-fme-node-sdk&sv=1.60.0".encode(), body)
    served.post(b"/events/t?en=vwo_fmeSdkInit&env=none&sn=stranger&sv=1", b"{}")
    (sdk,) = served.gateway.health()["sdks"]
    assert (sdk["environment_id"], sdk["name"], sdk["version"]) == (PRODUCTION, "vwo-fme-node-sdk", "1.60.0")
    assert (sdk["starts"], sdk["settings_fetched"]) == (1, 1)
    assert [(p["kind"], p["message"]) for p in sdk["problems"]] == [
        ("EVENT_NOT_FOUND", "no metric named purchase"),
        ("", ""),
    ]


class StalledMembers:
    """A members store whose disk hangs until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def __getattr__(self, name: str) -> Any:
        def stall(*_: Any, **__: Any) -> Any:
            self.let_go.wait(30)
            raise OSError("the disk came back too late")

        return stall


def test_a_stalled_members_store_makes_no_sdk_wait(port: Port, tmp_path: Path) -> None:
    stalled = StalledMembers()
    members: Members = stalled  # type: ignore[assignment]
    with serving(port, tmp_path, members, look_up_s=LOOK_UP_S) as served:
        try:
            check = f"/check-attribute?attribute=a&listId={EXACT}&accountId={ACCOUNT}".encode()
            answers = [served.get(check)[2] for _ in range(8)]  # more than there are threads
            answers.append(served.get(alias_target('["v"]'))[2])
            answers.append(served.get(b"/get-user-details?accountId=12345")[2])
            assert answers == [*[b"false"] * 8, b'[{"aliasId":"v","userId":"v"}]', b"{}"]
            assert served.gateway.health()["counts"]["timeouts"] == 9
        finally:
            stalled.let_go.set()

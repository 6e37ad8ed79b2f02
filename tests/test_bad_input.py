"""Everything a client can get wrong, against a served Cairn: the contract's answer, an outcome on the Live page with
its reason, and no harm to any other event."""

import base64
import http.client
import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from msgspec import Struct
from playwright.sync_api import Browser, Page, expect

from cairn.outcomes import REASONS, Reason
from tests.patience import PATIENCE_S, WAIT_MS
from tests.prepared import Demos
from tests.served import Served


class Case(Struct, frozen=True):
    """One bad request. `@` in its body stands for a word that is found again on the Live page."""

    path: str
    body: bytes
    status: int
    said: str
    reasons: tuple[Reason, ...]  # of what was refused
    stored: int = 0  # good events beside the bad one
    has_unknown_key: bool = False


def heap(status: int, said: str, reason: Reason, **fields: Any) -> Case:
    return Case(
        "/api/track",
        json.dumps({"app_id": "APP", "event": "Bad @", "identity": "@", **fields}).encode(),
        status,
        said,
        (reason,),
    )


def bulk(reason: Reason, **fields: Any) -> Case:
    good = {"event": "Good @", "identity": "@"}
    body = {"app_id": "APP", "events": [good, {"event": "Bad @", "identity": "@", **fields}, good]}
    return Case("/api/track", json.dumps(body).encode(), 200, "{}", (reason,), stored=2)


def call(**fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Good @", "userId": "@", **fields}


def batch(*calls: dict[str, Any]) -> bytes:
    return json.dumps({"batch": calls}).encode()


def in_batch(reason: Reason, **fields: Any) -> Case:
    body = batch(call(), call(event="Bad @", properties={"word": "@"}) | fields, call())
    return Case("/v1/batch", body, 200, '{"success": true}', (reason,), stored=2)


def segment(path: str, body: bytes, status: int, said: str, reason: Reason) -> Case:
    return Case(path, body, status, said, (reason,))


def exposure(body: bytes, reason: Reason) -> Case:
    return Case("/events/t?en=Bad&a=ACCOUNT&env=SDK_KEY", body, 200, "{}", (reason,))


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"a": 1}
    for _ in range(depth):
        value = {"a": value}
    return value


DEEP_TEXT = b'{"userId":"@","event":"Bad @","properties":' + b'{"a":' * 3000 + b"1" + b"}" * 3000 + b"}"
FUTURE, ANCIENT = "2999-01-01T00:00:00Z", "1970-01-02T00:00:00Z"
LONG = {"word": "@", "text": "y" * 33_000}

CASES = {
    "heap malformed": Case(
        "/api/track", b'{"event":"@', 400, "Bad request", (Reason.MALFORMED_JSON,), has_unknown_key=True
    ),
    "heap deep": heap(400, "Bad request", Reason.TOO_DEEP, properties=nested(40)),
    "heap deep in bulk": bulk(Reason.TOO_DEEP, properties=nested(40)),
    "heap unknown app id": Case(
        "/api/track",
        b'{"app_id":"999","event":"@","identity":"@"}',
        400,
        "Bad request",
        (Reason.UNKNOWN_KEY,),
        has_unknown_key=True,
    ),
    "heap wrong type": heap(400, "properties", Reason.PROPERTIES_NOT_OBJECT, properties=[1]),
    "heap wrong type in bulk": bulk(Reason.EVENT_NOT_STRING, event={"name": "@"}),
    "heap no user in bulk": bulk(Reason.NO_USER, identity=None),
    "heap future": heap(400, "timestamp", Reason.TIME_IN_FUTURE, timestamp=FUTURE),
    "heap ancient in bulk": bulk(Reason.TIME_TOO_OLD, timestamp=ANCIENT),
    "heap no time": heap(400, "timestamp", Reason.BAD_TIMESTAMP, timestamp="soon"),
    "heap junk identity": bulk(Reason.JUNK_IDENTITY, identity="undefined"),
    "heap not utf-8": Case(
        "/api/track", b'{"app_id":"APP","event":"@ \xff","identity":"@"}', 400, "UTF-8", (Reason.NOT_UTF8,)
    ),
    "segment malformed": segment(
        "/v1/batch", b'{"batch":["@"', 400, '"code":"malformed_json"', Reason.MALFORMED_JSON
    ),
    "segment deep": segment("/v1/track", DEEP_TEXT, 400, '"code":"too_deep"', Reason.TOO_DEEP),
    "segment deep in batch": in_batch(Reason.TOO_DEEP, properties=nested(40) | {"word": "@"}),
    "segment 33 KB": segment(
        "/v1/track",
        json.dumps(call(properties=LONG)).encode(),
        400,
        '"code":"body_too_large"',
        Reason.BODY_TOO_LARGE,
    ),
    "segment 33 KB in batch": in_batch(Reason.EVENT_TOO_LARGE, properties=LONG),
    "segment 2,501 in batch": Case(
        "/v1/batch",
        batch(*[call(event="Many @")] * 2501),
        200,
        '{"success": true}',
        (Reason.TOO_MANY_EVENTS,),
        stored=2500,
    ),
    "segment empty batch": segment(
        "/v1/batch", b'{"batch":[],"context":{"word":"@"}}', 200, '{"success": true}', Reason.EMPTY_BATCH
    ),
    "segment unknown write key": Case(
        "/v1/track",
        json.dumps(call(writeKey="wk_nobody")).encode(),
        401,
        '"code":"invalid_write_key"',
        (Reason.UNKNOWN_KEY,),
        has_unknown_key=True,
    ),
    "segment number as user": in_batch(Reason.ID_NOT_STRING, userId=42),
    "segment no user": in_batch(Reason.NO_USER, userId=None),
    "segment text as properties": in_batch(Reason.PROPERTIES_NOT_OBJECT, properties="@"),
    "segment unknown type": in_batch(Reason.TYPE_UNKNOWN, type="buy"),
    "segment future": in_batch(Reason.TIME_IN_FUTURE, timestamp=FUTURE),
    "segment ancient": in_batch(Reason.TIME_TOO_OLD, timestamp=ANCIENT),
    "segment long message id": in_batch(Reason.MESSAGE_ID_TOO_LONG, messageId="m" * 101),
    "segment not utf-8": Case(
        "/v1/batch",
        batch(call(), call(event="Bad @ BYTES"), call()).replace(b"BYTES", b"\xff"),
        200,
        '{"success": true}',
        (Reason.NOT_UTF8,),
        stored=2,
    ),
    "segment fields nobody knows": Case(
        "/v1/batch",
        batch(call(colour="@"), call(context={"colour": ["@"]})),
        200,
        '{"success": true}',
        (),
        stored=2,
    ),
    "flags malformed": exposure(b'{"d": "@', Reason.MALFORMED_JSON),
    "flags wrong type": exposure(b'{"d": "@"}', Reason.BAD_REQUEST),
    "flags unknown key": Case(
        "/events/t?en=Bad&env=nobodys",
        b'{"d":{"visId":"@","event":{"name":"@"}}}',
        400,
        "SDK key",
        (Reason.UNKNOWN_KEY,),
        has_unknown_key=True,
    ),
    "flags not utf-8": exposure(b'{"d":{"visId":"@","event":{"name":"\xff"}}}', Reason.NOT_UTF8),
}


@pytest.fixture(scope="module")
def cairn(tmp_path_factory: pytest.TempPathFactory, demos: Demos) -> Iterator[Served]:
    served = demos.served(tmp_path_factory.mktemp("bad") / "data").start()
    yield served
    assert served.stop() == 0


@pytest.fixture(scope="module")
def live(cairn: Served, chromium: Browser) -> Iterator[Page]:
    """Signed in, as the owner, who sees what came with unknown keys too."""
    context = chromium.new_context()
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    page.goto(f"{cairn.url}/sign-in")
    page.get_by_label("E-mail").fill(cairn.demo["email"])
    page.get_by_label("Password").fill(cairn.demo["password"])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    yield page
    context.close()


def sent(cairn: Served, case: Case, word: str) -> tuple[int, str]:
    """The answer to one request, sent as bytes, because no client would send some of them."""
    path, body = case.path, case.body.replace(b"@", word.encode())
    for name, value in (
        ("APP", cairn.production["app_id"]),
        ("ACCOUNT", str(cairn.demo["account_id"])),
        ("SDK_KEY", cairn.production["sdk_key"]),
    ):
        path, body = path.replace(name, value), body.replace(f'"{name}"'.encode(), f'"{value}"'.encode())
    headers = {"Content-Type": "application/json"}
    if path.startswith("/v1/") and not case.has_unknown_key:
        key = cairn.production["write_keys"]["server"]
        headers["Authorization"] = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", cairn.port, timeout=PATIENCE_S)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def stored(cairn: Served, word: str) -> int:
    """How many events the word's user did."""
    asked = {"environment": "production", "after": ""}
    number = 0
    with httpx2.Client(
        base_url=cairn.url, headers={"Authorization": f"Bearer {cairn.demo['api_token']}"}
    ) as api:
        while asked["after"] is not None:
            answer = api.get(f"/api/v1/users/{word}/events", params=asked)
            if answer.status_code == 404:
                return 0
            answer.raise_for_status()
            number += len(answer.json()["events"])
            asked["after"] = answer.json()["next"]
    return number


@pytest.mark.parametrize("name", CASES)
def test_it_is_answered_shown_with_its_reason_and_costs_no_other(
    cairn: Served, live: Page, name: str
) -> None:
    case, word = CASES[name], "w" + re.sub(r"\W", "", name)
    status, said = sent(cairn, case, word)
    assert (status, case.said in said) == (case.status, True), said
    good = {"app_id": cairn.production["app_id"], "identity": word, "event": f"After {word}"}
    assert httpx2.post(f"{cairn.url}/api/track", json=good).status_code == 200
    live.goto(f"{cairn.url}/env/production/live?q={word}&outcome=accepted")
    expect(live.locator("[data-live] li", has_text=f"After {word}")).to_have_count(1)
    assert stored(cairn, word) == case.stored + 1
    where = "keys=unknown" if case.has_unknown_key else f"q={word}&outcome=invalid"
    live.goto(f"{cairn.url}/env/production/live?{where}")
    rows = live.locator("[data-live] li", has=live.locator("pre", has_text=word))
    expect(rows).to_have_count(len(case.reasons))
    for row, reason in zip(rows.all(), case.reasons, strict=True):
        expect(row).to_contain_text(reason.value.replace("_", " "))
        expect(row).to_contain_text(REASONS[reason][1])


def test_a_list_value_with_signs_of_the_query_is_that_value(cairn: Served, live: Page) -> None:
    """Written into the address by the SDK as it is, so nothing of it may be taken for the query's own."""
    identity = "a+b&c%d#e%2Bf@x.test"
    listed = {"app_id": cairn.production["app_id"], "identity": identity, "properties": {"plan": "premium"}}
    assert httpx2.post(f"{cairn.url}/api/add_user_properties", json=listed).status_code == 200
    live.goto(f"{cairn.url}/env/production/live")
    expect(live.locator("[data-live] li", has_text=identity)).to_have_count(1)
    settings = httpx2.get(
        f"{cairn.url}/server-side/v2-settings",
        params={"i": cairn.production["sdk_key"], "sn": "vwo-fme-node-sdk"},
    ).text
    [list_id] = re.findall(r'"your_custom_variable":"inlist\((\w+)\)"', settings)

    def check(value: str) -> tuple[int, str]:
        target = f"/check-attribute?attribute={value}&listId={list_id}&accountId={cairn.demo['account_id']}"
        # By hand, as Node sends it: no Python client leaves such an address as it is.
        with socket.create_connection(("127.0.0.1", cairn.port), timeout=PATIENCE_S) as connection:
            connection.sendall(
                f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
            )
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            return answer.status, answer.read().decode()

    assert check(identity) == (200, "true")
    for other in ("a+b", "a+b&c%d", "a+b&c%d#e+f@x.test", "%", "&", "#"):
        assert check(other) == (200, "false"), other

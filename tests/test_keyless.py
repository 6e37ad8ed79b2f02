"""What the collector and the gateway take from somebody who names no key: over every path they answer.

An account's number is no secret, nor is it a key: it serves the questions of flag SDKs (contracts/wingify.md 3), which
tell nothing but whether a value stands in a list whose id nobody can guess. Nothing sent without a key is stored.
"""

import json
from collections.abc import Iterator

import pytest

from cairn.collect.capture import CAPTURES, IMAGES
from cairn.collect.heap import ENDPOINTS
from cairn.collect.segment import CALLS, PIXELS
from cairn.gateway.app import PATHS
from tests.edge_alone import ACCOUNT, ENVIRONMENT, EdgeAlone

GIF = b"GIF89a"
UNKNOWN = b"no environment"  # part of every refusal of a key at the gateway
_EVENT = json.dumps(
    {
        "events": [{"event": "e", "identity": "i"}],
        "event": "e",
        "type": "track",
        "userId": "u",
        "identity": "i",
    }
).encode()
_FLAG_EVENT = json.dumps({"d": {"event": {"props": {}, "name": "e", "time": 1}, "visId": "v"}}).encode()
_BATCH = json.dumps({"ev": [json.loads(_FLAG_EVENT)]}).encode()
_ALIAS = json.dumps({"userId": "u", "aliasId": "v"}).encode()

# Path -> method, query, body, status, what stands in the answer, and what is taken without a key.
Row = tuple[str, str, bytes, int, bytes, str]
KEYLESS: dict[str, Row] = {
    **dict.fromkeys(ENDPOINTS, ("POST", "", _EVENT, 400, b"app_id", "nothing")),
    **dict.fromkeys(CALLS, ("POST", "", _EVENT, 401, b"writeKey", "nothing")),
    "/v1/m": ("POST", "", b"{}", 200, b"", "a library's telemetry, which is thrown away"),
    **dict.fromkeys(PIXELS, ("GET", "event=e&userId=u", b"", 200, GIF, "nothing; an image all the same")),
    **dict.fromkeys(CAPTURES, ("POST", "", _EVENT, 404, b"environment id", "nothing")),
    # What apps send is protobuf, which JSON is not; one that can be read and names nobody is refused by the same check.
    **{
        path: ("POST", "", _EVENT, 400, b"Bad request", "nothing")
        for path in CAPTURES
        if "/integrations/" in path
    },
    **dict.fromkeys(IMAGES, ("GET", "u=1&t=e", b"", 200, GIF, "nothing; an image all the same")),
    "/server-side/v2-settings": ("GET", f"a={ACCOUNT}", b"", 400, UNKNOWN, "nothing"),
    "/server-side/v2-pull": ("GET", f"a={ACCOUNT}", b"", 400, UNKNOWN, "nothing"),
    "/server-side/batch-events-v2": ("POST", f"a={ACCOUNT}", _BATCH, 400, UNKNOWN, "nothing"),
    "/events/t": ("POST", f"a={ACCOUNT}&en=purchase", _FLAG_EVENT, 400, UNKNOWN, "nothing"),
    "/user-alias/setUserAlias": ("POST", f"a={ACCOUNT}", _ALIAS, 400, b"needs sdkKey", "nothing"),
    "/user-alias/getAliasUserId": ("GET", 'aliasId=["v"]', b"", 200, b"", "ids, answered as they came"),
    "/get-user-details": (
        "GET",
        f"a={ACCOUNT}&userAgent=Mozilla%2F5.0%20Firefox%2F130.0",
        b"",
        200,
        b"Firefox",
        "what a user agent and an address mean, by public knowledge and the operator's file",
    ),
    "/check-attribute": (
        "GET",
        f"accountId={ACCOUNT}&listId=lguess&attribute=who&value=ann",
        b"",
        200,
        b"false",
        "whether a value is in a list, by the account's number and the list's unguessable id",
    ),
}


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeAlone]:
    edge = EdgeAlone(tmp_path_factory.mktemp("keyless") / "data")
    yield edge
    edge.close()


def test_every_path_that_takes_requests_without_signing_in_is_in_the_table() -> None:
    assert set(KEYLESS) == {*ENDPOINTS, *CALLS, *PIXELS, *CAPTURES, *IMAGES, *PATHS}


@pytest.mark.parametrize("path", sorted(KEYLESS))
def test_what_a_path_takes_without_a_key(edge: EdgeAlone, path: str) -> None:
    method, query, body, status, said, _ = KEYLESS[path]
    headers = {"Content-Type": "application/json"} if body else {}
    answered, answer = edge.ask(method, f"{path}?{query}" if query else path, body or None, **headers)
    assert (answered, said in answer) == (status, True), answer
    assert not _stored(edge), "nothing without a key is stored for anybody"


@pytest.mark.parametrize("path", sorted(path for path, row in KEYLESS.items() if row[5] == "nothing"))
@pytest.mark.parametrize(
    "fallback", [f"a={ACCOUNT}", f"accountId={ACCOUNT}", f"account_id={ACCOUNT}&env=", "sdkKey=&i="]
)
def test_no_other_name_of_the_account_stands_for_a_key(edge: EdgeAlone, path: str, fallback: str) -> None:
    method, query, body, status, _, _ = KEYLESS[path]
    headers = {"Content-Type": "application/json"} if body else {}
    answered, _ = edge.ask(method, f"{path}?{query}&{fallback}", body or None, **headers)
    assert answered == status
    assert not _stored(edge)


def _stored(edge: EdgeAlone) -> list[str]:
    """What of the log is for an environment; reasons of refusals for none are not."""
    return [arrival.parser for arrival in edge.logged() if arrival.environment_id == ENVIRONMENT]

"""Bodies made to break the edge: each is answered, none is kept as thousands, and the next request is served."""

import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import process_time_ns

import httpx2 as httpx
import pytest

from cairn.collect.capture import CAPTURES, IMAGES
from cairn.collect.heap import ENDPOINTS
from tests.collect.conftest import Served
from tests.wire.captured import APP_ID
from tests.wire.hostile import JSON, SIZE, TIMES, Hostile, check_work
from tests.wire.test_bombs import BOMBS

POSTED = [*CAPTURES, *ENDPOINTS]


def post(served: Served, path: str, body: bytes, **headers: str) -> httpx.Response:
    return served.http.post(path, content=body, headers={"content-type": "application/json", **headers})


@pytest.mark.parametrize("path", POSTED)
def test_bombs_are_answered_and_recorded_once(served: Served, path: str) -> None:
    # With the environment in a header, as apps send it, they get as far as they can.
    answers = [post(served, path, bomb, **{"x-heap-env-id": APP_ID}).status_code for bomb in BOMBS.values()]
    assert set(answers) <= {200, 400}
    assert post(served, "/api/track", b'{"app_id":"11","identity":"dana","event":"Paid"}').status_code == 200
    # What was answered with 200 is in the log once, what was not is a refusal; a second's flood of them is counted.
    assert len(served.events()) + served.collector.unrecorded == len(BOMBS) + 1


@pytest.mark.parametrize("path", IMAGES)
def test_addresses_that_say_nothing_are_answered_with_an_image(served: Served, path: str) -> None:
    for query in ("%", "a=1234567890&" + "&=" * 5_000, "a=" + "9" * 5_000, "a=1234567890&u=" + "%00" * 500):
        assert served.http.get(f"{path}?{query}").status_code == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("path", ["/api/capture/v2/track", "/api/integrations/android/track"])
def test_a_compressed_bomb_is_read_to_its_limit_only(served: Served, path: str, encoding: str) -> None:
    wbits = zlib.MAX_WBITS | (16 if encoding == "gzip" else 0)
    packer = zlib.compressobj(9, wbits=wbits)
    bomb = packer.compress(bytes(200_000_000)) + packer.flush()
    answer = post(served, path, bomb, **{"content-encoding": encoding, "x-heap-env-id": APP_ID})
    assert (answer.status_code, "over 1000000 bytes" in answer.text) == (400, True)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/capture/v2/track", b"\x0a\x00" * 400_000),
        ("/api/capture/v2/track", b"[" + b"{}," * 200_000 + b"{}]"),
        ("/api/integrations/android/track", b"\x0a\x00" * 400_000),
        ("/api/integrations/ios/track", b'{"messages":[' + b"{}," * 200_000 + b"{}]}"),
        ("/k/a", b'{"accounts":[' + b"{}," * 200_000 + b"{}]}"),
        ("/v1/batch", b'{"writeKey":"wk_node","batch":[' + b"{}," * 160_000 + b"{}]}"),
    ],
    ids=["protobuf", "json", "android", "ios", "accounts", "segment"],
)
def test_half_a_million_empty_messages_are_one_refusal(served: Served, path: str, body: bytes) -> None:
    kind = "application/octet-stream" if body[:1] == b"\x0a" else "application/json"
    answer = post(served, path, body, **{"x-heap-env-id": APP_ID, "content-type": kind})
    assert answer.status_code == 400
    assert post(served, "/api/track", b'{"app_id":"11","identity":"dana","event":"Paid"}').status_code == 200
    assert served.refusals() == [("too_many_events", 1)]


@pytest.mark.parametrize("hostile", JSON.values(), ids=JSON)
@pytest.mark.parametrize(
    "path", ["/api/track", "/api/integrations/track", "/v1/batch", "/api/capture/v2/track", "/k/a"]
)
def test_a_body_costs_the_edge_its_length(served: Served, path: str, hostile: Hostile) -> None:
    small, large = hostile(SIZE), hostile(SIZE * TIMES)
    answers = (200, 400, 401, 404, 429)

    def posted(body: bytes) -> None:
        assert post(served, path, body).status_code in answers

    check_work(lambda: posted(small), lambda: posted(large), clock_ns=process_time_ns)


@pytest.mark.parametrize("tail", [bytes(65_536), zlib.compress(b"") * 8_192], ids=["zeros", "packed nothing"])
def test_bytes_behind_the_end_of_a_packed_body_are_not_kept(served: Served, tail: bytes) -> None:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    whole = packer.compress(b'{"app_id":"11","identity":"dana","event":"Paid"}') + packer.flush()

    def sent() -> Iterator[bytes]:
        yield whole
        for _ in range(20_000_000 // len(tail) + 1):
            yield tail

    answer = served.http.post("/api/track", content=sent(), headers={"content-encoding": "gzip"})
    assert (answer.status_code, "the body: over" in answer.text) == (400, True)


def test_a_small_request_is_answered_while_a_large_one_is_read(served: Served) -> None:
    """A body over 64 KB is read beside the event loop, so its cost is nobody else's."""
    large = b'{"app_id":"11","events":[' + b"[" * 1_000_000
    small = 0
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(post, served, "/api/track", large)
        while not pending.done():
            body = b'{"app_id":"11","identity":"u%d","event":"Paid"}' % small
            assert post(served, "/api/track", body).status_code == 200
            small += 1
    assert pending.result().status_code == 400
    assert small > 1

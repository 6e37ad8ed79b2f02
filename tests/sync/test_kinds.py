"""The other kinds of targets, as what receives them reads them: ready libraries, and a server that keeps what comes."""

import csv
import hashlib
import io
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cairn.errors import InvalidInput
from cairn.signing.s3 import signed
from cairn.sync.new_target import NewTarget, TargetNameTaken, create_target
from cairn.workspace.sealed import open_seal
from tests.sync.world import RULES, SyncWorld, sync_world

CHECKS = Path(__file__).with_name("checks.mjs")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SyncWorld]:
    with sync_world(tmp_path) as world:
        world.now = datetime.now(UTC)  # which libraries compare a signature's time with
        yield world


class Kept(ThreadingHTTPServer):
    requests: list[tuple[str, str, dict[str, str], bytes]]  # method, path, headers, body
    answers: list[int]  # statuses to give first


@pytest.fixture
def server() -> Iterator[Kept]:
    with _served() as kept:
        yield kept


@contextmanager
def _served() -> Iterator[Kept]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            kept.requests.append((self.command, self.path, headers, body))
            self.send_response(kept.answers.pop(0) if kept.answers else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        do_PUT = do_POST

        def log_message(self, *_: object) -> None:
            pass

    kept = Kept(("127.0.0.1", 0), Handler)
    kept.daemon_threads, kept.requests, kept.answers = True, [], []
    thread = threading.Thread(target=kept.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield kept
    finally:
        kept.shutdown()
        thread.join()
        kept.server_close()


def check(request: dict[str, Any]) -> Any:
    done = subprocess.run(
        ["node", CHECKS], input=json.dumps(request), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def target(world: SyncWorld, server: Kept, **fields: Any) -> tuple[int, str]:
    new = NewTarget(name="Elsewhere", url=f"http://127.0.0.1:{server.server_port}", **fields)
    with world.engine.begin() as connection:
        made, secret = create_target(connection, world.seal, world.environment_id, new, RULES, world.now)
    return made.id, secret


def test_a_webhook_is_verified_by_the_standards_own_library(world: SyncWorld, server: Kept) -> None:
    target_id, secret = target(world, server, kind="webhook")
    world.sync(target_id)
    world.enter("dana@acme.test", "ä")
    server.answers = [503]
    world.sender.settle()
    world.later(seconds=2)
    world.sender.settle()
    (_, _, first, _), (_, _, headers, body) = server.requests
    assert first["webhook-id"] == headers["webhook-id"], "a repeat is known by its id"
    told = check({"webhook": {"secret": secret, "headers": headers, "body": body.decode()}})["webhook"]
    assert told["type"] == "segment.members.changed"
    assert told["data"]["segment"] == {"id": world.segment_id, "key": "trial", "name": "Trial"}
    assert (sorted(told["data"]["add"]), told["data"]["remove"]) == (["dana@acme.test", "ä"], [])
    with pytest.raises(subprocess.CalledProcessError):
        check({"webhook": {"secret": secret, "headers": headers, "body": body.decode() + " "}})


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_files_hold_each_change_once(world: SyncWorld, server: Kept, form: str) -> None:
    storage = {
        "bucket": "cohorts",
        "prefix": "/from cairn/",
        "access_key_id": "AKID",
        "secret": "s3cret",
    }
    target_id, _ = target(world, server, kind="files", format=form, **storage)
    world.sync(target_id)
    names = {"dana@acme.test", 'a "quoted", name', "two\nlines", "ä"}
    world.enter(*names)
    world.sender.settle()
    world.leave("ä")
    world.sender.settle()
    (_, path, headers, body), (_, _, _, second) = server.requests
    assert path.startswith("/cohorts/from%20cairn/trial/") and path.endswith(f"/page-000001-of-000001.{form}")
    assert rows(form, body) == {(name, "add") for name in names}
    assert rows(form, second) == {("ä", "remove")}
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/")
    assert headers["x-amz-content-sha256"] == hashlib.sha256(body).hexdigest()


def rows(form: str, body: bytes) -> set[tuple[str, str]]:
    if form == "parquet":
        return {(row["id"], row["change"]) for row in pq.read_table(io.BytesIO(body)).to_pylist()}
    read = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    return {(row["id"], row["change"]) for row in read}


@pytest.mark.parametrize("path", ["/bucket/key.csv", "/bucket/from%20cairn/%C3%A4%2B~.csv"])
def test_a_storage_request_is_signed_as_others_sign_it(path: str) -> None:
    now = datetime(2026, 11, 21, 12, 30, 15, tzinfo=UTC)
    host, body = "storage.example:9000", b"id,change\n"
    headers = signed(
        "PUT", f"https://{host}{path}", body, now, region="eu-central-1", key_id="AKID", secret="s3"
    )
    asked = {
        "host": host,
        "path": path,
        "body": body.decode(),
        "date": headers["x-amz-date"],
        "region": "eu-central-1",
        "key": "AKID",
        "secret": "s3",
        "digest": headers["x-amz-content-sha256"],
    }
    assert check({"object": asked})["object"] == headers["authorization"]


def test_segment_gets_a_trait_of_each_member(world: SyncWorld, server: Kept) -> None:
    target_id, _ = target(world, server, kind="traits", secret="write-key")
    world.sync(target_id)
    world.enter("dana@acme.test", "li@acme.test")
    world.sender.settle()
    world.leave("li@acme.test")
    server.answers = [500]
    world.sender.settle()
    world.later(seconds=2)
    world.sender.settle()
    assert {path for _, path, _, _ in server.requests} == {"/v1/batch"}
    assert server.requests[0][2]["authorization"] == "Basic d3JpdGUta2V5Og=="
    calls = [call for _, _, _, body in server.requests for call in json.loads(body)["batch"]]
    told = [(call["type"], call["userId"], call["traits"]) for call in calls]
    assert sorted(told[:2], key=str) == [
        ("identify", "dana@acme.test", {"trial": True}),
        ("identify", "li@acme.test", {"trial": True}),
    ]
    assert told[2] == told[3] == ("identify", "li@acme.test", {"trial": False})
    assert calls[2]["messageId"] == calls[3]["messageId"], "a repeat is one call"


def test_a_large_page_is_cut_to_the_size_a_batch_may_have(world: SyncWorld, server: Kept) -> None:
    target_id, _ = target(world, server, kind="traits", secret="write-key")
    world.sync(target_id)
    world.enter(*(f"{number}{'x' * 900}" for number in range(1_000)))
    world.sender.settle()
    sizes = [len(body) for _, _, _, body in server.requests]
    assert len(sizes) == 3 and max(sizes) < 500_000
    assert sum(len(json.loads(body)["batch"]) for _, _, _, body in server.requests) == 1_000


BAD: list[tuple[dict[str, Any], str]] = [
    ({"kind": "webhook", "url": "ftp://one.example"}, "url"),
    ({"kind": "webhook", "url": "https://a:b@one.example"}, "url"),
    ({"kind": "webhook", "url": "nowhere"}, "url"),
    ({"kind": "webhook", "url": "http://one.example"}, "url"),
    ({"kind": "webhook", "url": "https://169.254.169.254/latest"}, "url"),
    ({"kind": "webhook", "url": "https://10.0.0.1/"}, "url"),
    ({"kind": "files", "url": "https://[::1]/", "secret": "k", "access_key_id": "k", "bucket": "a"}, "url"),
    ({"kind": "webhook", "url": "https://one.example/" + "x" * 3_000}, "url"),
    ({"kind": "webhook", "secret": "whsec_!!"}, "secret"),
    ({"kind": "webhook", "secret": "whsec_c2hvcnQ="}, "secret"),
    ({"kind": "webhook", "name": "  "}, "name"),
    ({"kind": "traits"}, "secret"),
    ({"kind": "traits", "secret": "k", "trait": "x" * 2_000}, "trait"),
    ({"kind": "files", "secret": "k", "access_key_id": "k"}, "bucket"),
    ({"kind": "files", "secret": "k", "access_key_id": "k", "bucket": "a/b"}, "bucket"),
    ({"kind": "files", "secret": "k", "bucket": "a"}, "access_key_id"),
    ({"kind": "files", "secret": "k", "access_key_id": "k", "bucket": "a", "prefix": "a\nb"}, "prefix"),
]


@pytest.mark.parametrize(("fields", "named"), BAD)
def test_a_target_that_cannot_work_is_refused_at_its_field(
    world: SyncWorld, fields: dict[str, Any], named: str
) -> None:
    new = NewTarget(**{"name": "Elsewhere", "url": "https://one.example", **fields})
    with world.engine.begin() as connection, pytest.raises(InvalidInput) as refused:
        create_target(connection, world.seal, world.environment_id, new, RULES, world.now)
    assert refused.value.field == named


def test_two_targets_of_one_name_are_refused(world: SyncWorld, server: Kept) -> None:
    target(world, server, kind="webhook")
    with pytest.raises(TargetNameTaken):
        target(world, server, kind="webhook")


def test_a_secret_that_cannot_be_read_stops_its_own_sync_and_says_so(
    world: SyncWorld, server: Kept, tmp_path: Path
) -> None:
    target_id, _ = target(world, server, kind="webhook")
    sync = world.sync(target_id)
    world.enter("dana@acme.test")
    (tmp_path / "other").mkdir()
    world.seal = open_seal(tmp_path / "other")
    world.sender = world.new_sender()
    world.sender.settle()
    assert "secret.key" in world.read(sync).error
    assert server.requests == []

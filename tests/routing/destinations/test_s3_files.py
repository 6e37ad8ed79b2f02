"""Objects in S3-compatible storage: what a reader finds in them, and under which names."""

import gzip
import io
import json
from typing import Any

import pyarrow.parquet as pq
import pytest

from cairn.http_client import Answer
from cairn.routing.catalogue import destination
from cairn.routing.destination import NotForDestination, Request
from cairn.signing.s3 import signed
from tests.routing.destinations.sending import HOSTILE, NOW, configured, hostile_messages, message, prepared

FILES = destination("s3_files")
SETTINGS = {
    "url": "https://s3.test/",
    "bucket": "data",
    "prefix": "/events/shop/",
    "region": "eu-central-1",
    "access_key_id": "AKID",
    "secret_access_key": "s3cret",
}
FORMATS = ["jsonl", "parquet"]


def written(form: str, *sent: Any) -> Request:
    [request] = prepared(FILES, sent, **SETTINGS, format=form)
    return request


def test_json_lines_hold_each_call_as_it_is() -> None:
    sent = [message(userId="u1", event="E", properties={"n": 9.5, "x": "ü\n"}, position=n) for n in (7, 8)]
    request = written("jsonl", *sent)
    lines = gzip.decompress(request.call.body).decode().splitlines()
    assert [json.loads(line) for line in lines] == [call.body for call in sent]
    assert request.positions == (7, 8)


def test_parquet_has_a_column_for_what_is_asked_most() -> None:
    sent = [
        message(userId="u1", event="Plan Chosen", properties={"n": 9.5}, position=7),
        message("identify", anonymousId="a", position=8),
    ]
    table = pq.read_table(io.BytesIO(written("parquet", *sent).call.body))
    rows = table.to_pylist()
    assert [row["message_id"] for row in rows] == ["msg-00000007", "msg-00000008"]
    assert [(row["type"], row["event"], row["user_id"], row["anonymous_id"]) for row in rows] == [
        ("track", "Plan Chosen", "u1", None),
        ("identify", None, None, "a"),
    ]
    assert rows[0]["timestamp"].isoformat() == "2026-03-01T10:04:59.100000+00:00"
    assert json.loads(rows[0]["body"]) == sent[0].body


@pytest.mark.parametrize("form", FORMATS)
def test_a_repeat_overwrites_the_same_object_with_the_same_bytes(form: str) -> None:
    sent = [message(event="E", position=n) for n in (7, 8, 9)]
    first, again, longer = written(form, *sent[:2]), written(form, *sent[:2]), written(form, *sent)
    ending = {"jsonl": "jsonl.gz", "parquet": "parquet"}[form]
    assert first.call.url == (
        f"https://s3.test/data/events/shop/date%3D2026-03-01/source-3-00000000000000000007.{ending}"
    )
    assert first.call == again.call and first.call.url == longer.call.url
    assert written(form, sent[2]).call.url != first.call.url


def test_requests_are_signed_for_their_host_alone() -> None:
    request = written("jsonl", message(event="E"))
    assert request.call.secret is not None and request.call.secret.host == "s3.test"
    expected = signed(
        "PUT", request.call.url, request.call.body, NOW, region="eu-central-1", key_id="AKID", secret="s3cret"
    )
    assert request.call.secret.headers == expected


@pytest.mark.parametrize(
    ("status", "is_delivered", "is_final"),
    [(200, True, False), (403, False, False), (404, False, False), (503, False, False), (400, False, True)],
)
def test_a_key_or_bucket_that_is_wrong_costs_no_message(
    status: int, is_delivered: bool, is_final: bool
) -> None:
    assert FILES.judge is not None
    verdict = FILES.judge(Answer(status, {}, b"<Code>AccessDenied</Code>", ""), NOW)
    assert (verdict.is_delivered, verdict.is_final) == (is_delivered, is_final)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_are_written_or_refused(value: Any, form: str) -> None:
    made = 0
    for sent in hostile_messages(value):
        try:
            body = written(form, sent).call.body
        except NotForDestination as refused:
            assert "nested" in refused.detail
            continue
        made += 1
        if form == "jsonl":
            line, end = gzip.decompress(body).decode().split("\n")
            assert not end
            json.loads(line)
        else:
            assert len(pq.read_table(io.BytesIO(body))) == 1
    assert made or "a" in value


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        pytest.param({"url": "https://s3.test/?x"}, "url", id="a query"),
        pytest.param({"bucket": "a b"}, "bucket", id="blank"),
        pytest.param({"bucket": "a/b"}, "bucket", id="slash"),
        pytest.param({"region": "eu,us"}, "region", id="comma"),
        pytest.param({"access_key_id": "ü"}, "access_key_id", id="no ASCII"),
        pytest.param({"prefix": "a/../b"}, "prefix", id="up"),
        pytest.param({"prefix": "a//b"}, "prefix", id="empty name"),
        pytest.param({"prefix": "a\nb"}, "prefix", id="line break"),
    ],
)
def test_wrong_settings_are_named_at_their_field(settings: dict[str, str], key: str) -> None:
    assert FILES.check is not None
    assert FILES.check(configured(FILES, **SETTINGS)) == {}
    assert FILES.check(configured(FILES, **{**SETTINGS, **settings})).keys() == {key}


def test_the_connection_test_writes_one_small_object() -> None:
    assert FILES.trial is not None
    request = FILES.trial(configured(FILES, **SETTINGS), NOW)
    assert request.call.url == "https://s3.test/data/events/shop/cairn-connection-test.txt"
    assert request.call.method == "PUT"

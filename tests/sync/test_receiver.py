"""Segment webhooks as Heap sends them, over HTTP: what is taken, what is refused, and what the list is afterwards."""

import gzip
import json
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from cairn.clock import to_ms
from cairn.db.sync_tables import heap_connections
from cairn.sync.signature import sign
from tests.sync.heap import ID_TOKEN, SECRET, Account, drain, encoded, open_account, page


@pytest.fixture(scope="module")
def connected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    account = open_account(tmp_path_factory.mktemp("account"))
    yield account
    account.close()


@pytest.fixture
def account(connected: Account) -> Account:
    connected.reset()
    return connected


def test_a_first_sync_fills_a_list_that_is_on_offer(account: Account) -> None:
    account.taken(page(add=["dana@acme.test", "li@acme.test"]))
    assert account.list_of() == dict.fromkeys(("dana@acme.test", "li@acme.test"), to_ms(account.now))
    audience = account.audience()
    assert (audience.name, audience.is_added, audience.synced_at) == (
        "Trial, inactive 7 d",
        False,
        account.now,
    )
    assert (audience.added_last, audience.removed_last, audience.error) == (2, 0, "")
    (task,) = account.history()
    assert (task.action, task.state, task.pages, task.added, task.removed) == ("sync", "applied", 1, 2, 0)
    assert account.changed == [account.environment_id]
    assert account.waiting() == []


def test_deltas_add_and_remove(account: Account) -> None:
    account.taken(page(task="1", add=["a", "b", "c"]))
    account.taken(page(task="2", add=["c", "d"], remove=["a", "nobody"]))
    assert account.members == {"b", "c", "d"}
    assert (account.audience().added_last, account.audience().removed_last) == (1, 1)


def test_one_of_a_task_who_comes_and_goes_is_in(account: Account) -> None:
    account.taken(page(task="1", add=["a", "b"]))
    account.taken(page(task="2", add=["a", "c"], remove=["a", "b", "c"]))
    assert account.members == {"a", "c"}


def test_an_empty_segment_is_synced(account: Account) -> None:
    account.taken(page())
    assert (account.members, account.audience().synced_at) == (set(), account.now)
    body = page(task="2")
    del body["data"]["add"], body["data"]["remove"]
    account.taken(body)


def test_ids_of_any_text_are_kept_apart(account: Account) -> None:
    ids = ["Ann", "ann", " ann", "a\0nn", "é", "e\u0301", "x" * 1000, "x" * 999 + "y", "'; DROP TABLE", "😀"]
    account.taken(page(add=ids))
    assert account.members == set(ids)


@pytest.mark.parametrize("order", range(4))
def test_pages_come_in_any_order_and_are_applied_all_or_nothing(account: Account, order: int) -> None:
    account.taken(page(task="0", add=["stays", "goes 3"]))
    pages = [page(n, 6, task="1", add=[f"comes {n}"], remove=[f"goes {n}"]) for n in range(1, 7)]
    random.Random(order).shuffle(pages)
    for body in pages[:-1]:
        account.taken(body)
        assert account.members == {"stays", "goes 3"}
        account.taken(body)  # and repeats on the way are harmless
    account.taken(pages[-1])
    assert account.members == {"stays", *(f"comes {n}" for n in range(1, 7))}
    assert (account.audience().added_last, account.audience().removed_last) == (6, 1)


def test_repeats_of_a_task_change_nothing_whenever_they_come(account: Account) -> None:
    first = [page(n, 2, task="1", add=[f"first {n}"]) for n in (1, 2)]
    second = page(task="2", remove=["first 1"])
    for body in (*first, second, *first, second):
        account.taken(body)
        account.later(hours=1)
    account.later(days=30)
    account.applying.tidy(account.now)
    assert account.pages() == []
    for body in (*first, second):
        account.taken(body)
    assert account.members == {"first 2"}
    assert [task.state for task in account.history()] == ["applied", "applied"]


def test_segments_of_one_account_are_lists_of_their_own(account: Account) -> None:
    account.taken(page(task="1", segment=1, name="One", add=["a"]))
    account.taken(page(task="2", segment="two", name="Two", add=["b"]))
    assert (set(account.list_of(1)), set(account.list_of("two"))) == ({"a"}, {"b"})


def test_a_segment_that_was_renamed_at_heap_has_its_new_name(account: Account) -> None:
    account.taken(page(task="1", add=["a"]))
    account.taken(page(task="2", name="  Trial\n ended \u202e", add=["b"]))
    assert (account.audience().name, account.members) == ("Trial ended", {"a", "b"})
    account.taken(page(task="3", name=""))
    assert account.audience().name == "Segment 90210"
    account.taken(page(task="4", name="x" * 5000))
    assert account.audience().name == "x" * 100


def test_a_drain_empties_the_list_and_its_replay_does_nothing(account: Account) -> None:
    account.taken(page(task="1", add=["a", "b"]))
    header = sign(SECRET, to_ms(account.now), encoded(drain()))
    account.taken(drain(), header=header)
    assert (account.members, account.audience().removed_last) == (set(), 2)
    account.taken(page(task="2", add=["c"]))
    account.taken(drain(), header=header)
    assert account.members == {"c"}
    account.later(seconds=1)
    account.taken(drain())
    assert account.members == set()


def test_a_large_delta_is_merged_in_pieces(account: Account) -> None:
    account.taken(page(task="1", add=[f"old {n}" for n in range(10_000)]))
    for n in (1, 2, 3):
        add = [f"new {n} {m}" for m in range(9_000)]
        account.taken(page(n, 3, task="2", add=add, remove=[f"old {m}" for m in range(n * 1000)]))
    assert len(account.members) == 10_000 - 3000 + 27_000
    assert (account.audience().added_last, account.audience().removed_last) == (27_000, 3000)


def changed_by_a_byte(body: bytes) -> Iterator[bytes]:
    for place in range(0, len(body), 7):
        yield body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(lambda now, body: "", id="missing"),
        pytest.param(lambda now, body: "nonsense", id="nonsense"),
        pytest.param(lambda now, body: sign("another", now, body), id="another secret"),
        pytest.param(lambda now, body: sign("", now, body), id="no secret"),
        pytest.param(lambda now, body: sign(SECRET, now - 60_001, body), id="old"),
        pytest.param(lambda now, body: sign(SECRET, now + 1_001, body), id="of the future"),
        pytest.param(lambda now, body: sign(SECRET, now, body).replace("hmac:", "hmac:A"), id="longer"),
        pytest.param(lambda now, body: sign(SECRET, now, body)[:-4], id="shorter"),
        pytest.param(
            lambda now, body: sign(SECRET, now - 1, body).replace(str(now - 1), str(now)), id="moved time"
        ),
    ],
)
def test_a_wrong_signature_is_refused_and_stands_in_the_history(
    account: Account, header: Callable[[int, bytes], str]
) -> None:
    account.taken(page(task="1", add=["a"]))
    body = encoded(page(task="2", add=["b"]))
    answer = account.send(body, header=header(to_ms(account.now), body) or " ")
    assert (answer.status_code, answer.json()) == (403, {"error": "Invalid signature"})
    account.applying.apply_due()
    assert (account.members, account.refusals()) == ({"a"}, ["Invalid signature"])


def test_a_body_changed_by_any_byte_is_refused(account: Account) -> None:
    body = encoded(page(add=["a", "b"]))
    header = sign(SECRET, to_ms(account.now), body)
    for changed in changed_by_a_byte(body):
        answer = account.send(changed, header=header)
        assert (answer.status_code, answer.json()) == (403, {"error": "Invalid signature"})
    assert account.audiences() == []
    account.taken(body, header=header)


def test_within_a_minute_a_webhook_counts_and_its_replay_changes_nothing(account: Account) -> None:
    body = page(add=["a"])
    sent = account.now
    account.later(seconds=60)
    account.taken(body, sent=sent)
    account.taken(page(task="2", remove=["a"]))
    account.taken(body, sent=sent)
    assert account.members == set()
    account.later(milliseconds=1)
    assert account.send(body, sent=sent).status_code == 403


def without(path: str) -> Any:
    body = page(add=["a"])
    *parents, last = path.split(".")
    inner = body
    for name in parents:
        inner = inner[name]
    del inner[last]
    return body


def with_value(path: str, value: Any) -> Any:
    body = page(add=["a"])
    *parents, last = path.split(".")
    inner = body
    for name in parents:
        inner = inner[name]
    inner[last] = value
    return body


@pytest.mark.parametrize("id_token", ["", "unknown", ID_TOKEN[:-1], ID_TOKEN.upper(), "x" * 65, "a\0b"])
def test_an_unknown_id_token_is_refused(account: Account, id_token: str) -> None:
    answer = account.send(page(id_token=id_token, add=["a"]))
    assert (answer.status_code, answer.json()) == (403, {"error": "Invalid signature"})
    assert (account.audiences(), account.history()) == ([], [])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff",
        b"[" * 100_000,
        b'{"id_token":' + b"[" * 100_000,
        without("id_token"),
        with_value("id_token", 7),
        with_value("id_token", None),
    ],
)
def test_a_body_that_names_no_account_is_refused(account: Account, body: Any) -> None:
    answer = account.send(body)
    assert (answer.status_code, answer.json()) == (403, {"error": "Invalid signature"})


SYNC = "data.sync_info"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (encoded(page())[:-1], "JSON"),
        (encoded(page()).replace(b"Trial", b"\xff"), "JSON"),
        (encoded(page()).replace(b'"add": []', b'"add": ' + b"[" * 50_000), "data.add"),
        (encoded(page()).replace(b'"add": []', b'"add": [{"id": "\\ud800"}]'), "JSON"),
        (without("action_type"), "action_type"),
        (with_value("action_type", "segment.users.explode"), "action_type"),
        (with_value("action_type", 7), "action_type"),
        (without("data"), "data"),
        (with_value("data", []), "data"),
        (without("data.segment"), "segment"),
        (without("data.segment.id"), "id"),
        (with_value("data.segment.id", None), "data.segment.id"),
        (with_value("data.segment.id", ""), "data.segment.id"),
        (with_value("data.segment.id", "x" * 65), "data.segment.id"),
        (with_value("data.segment.id", 10**40), "data.segment.id"),
        (with_value("data.segment.id", True), "data.segment.id"),
        (with_value("data.segment.name", 7), "data.segment.name"),
        (without(SYNC), SYNC),
        (without(f"{SYNC}.page_number"), "page_number"),
        (with_value(f"{SYNC}.page_number", 0), f"{SYNC}.page_number"),
        (with_value(f"{SYNC}.page_number", -1), f"{SYNC}.page_number"),
        (with_value(f"{SYNC}.page_number", 2), f"{SYNC}.page_number"),
        (with_value(f"{SYNC}.page_number", "1"), f"{SYNC}.page_number"),
        (with_value(f"{SYNC}.page_number", 1.5), f"{SYNC}.page_number"),
        (with_value(f"{SYNC}.total_pages", 0), f"{SYNC}.total_pages"),
        (with_value(f"{SYNC}.total_pages", 100_001), f"{SYNC}.total_pages"),
        (with_value(f"{SYNC}.total_pages", 10**30), f"{SYNC}.total_pages"),
        (with_value(f"{SYNC}.sync_task_id", ""), f"{SYNC}.sync_task_id"),
        (with_value(f"{SYNC}.sync_task_id", 7), f"{SYNC}.sync_task_id"),
        (with_value(f"{SYNC}.sync_task_id", "x" * 129), f"{SYNC}.sync_task_id"),
        (with_value(f"{SYNC}.sync_task_id", "a\0b"), f"{SYNC}.sync_task_id"),
        (with_value("data.add", {}), "data.add"),
        (with_value("data.add", ["a"]), "data.add"),
        (with_value("data.add", [{}]), "data.add"),
        (with_value("data.add", [{"id": ""}]), "data.add"),
        (with_value("data.add", [{"id": "x" * 1001}]), "data.add"),
        (with_value("data.add", [{"id": 7}]), "data.add"),
        (with_value("data.add", [{"id": None}]), "data.add"),
        (with_value("data.remove", [{"id": True}]), "data.remove"),
        (with_value("data.remove", [{"id": ["a"]}]), "data.remove"),
        (page(add=map(str, range(100_000))), "data.add"),
        (page(remove=map(str, range(10_001))), "data.remove"),
    ],
)
def test_a_malformed_webhook_is_refused_naming_the_field(account: Account, body: Any, named: str) -> None:
    account.taken(page(task="before", add=["a"]))
    answer = account.send(body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert named in error and list(answer.json()) == ["error"]
    account.applying.apply_due()
    assert (account.members, account.refusals()) == ({"a"}, [error])


@pytest.mark.parametrize(
    ("second", "named"),
    [
        pytest.param(page(2, 4, add=["b"]), "total_pages: it is 4, and was 3", id="total_pages changes"),
        pytest.param(
            page(1, 3, add=["b"]), "page 1 of this task came before", id="a page with other members"
        ),
        pytest.param(page(2, 3, segment=7, add=["b"]), "another segment", id="another segment"),
        pytest.param(
            {**page(2, 3), "action_type": "segment.users.drain"},
            "another segment or action",
            id="another action",
        ),
    ],
)
def test_a_page_that_contradicts_its_task_ends_it(account: Account, second: Any, named: str) -> None:
    account.taken(page(task="before", add=["a"]))
    account.taken(page(1, 3, add=["c"]))
    answer = account.send(second)
    assert answer.status_code == 400 and named in answer.json()["error"]
    for number in (2, 3):  # the rest of the task comes too late
        assert account.send(page(number, 3, add=["d"])).status_code == 400
    account.applying.apply_due()
    account.applying.tidy(account.now)
    assert (account.members, account.waiting()) == ({"a"}, [])
    assert [task.state for task in account.history() if task.action == "sync"] == ["applied", "refused"]
    assert named in account.audience().error
    account.taken(page(task="again", add=["c"]))
    assert (account.members, account.audience().error) == ({"a", "c"}, "")


def test_a_contradiction_after_the_task_was_acknowledged_leaves_it_applied(account: Account) -> None:
    account.taken(page(add=["a"]))
    assert account.send(page(add=["b"])).status_code == 400
    assert account.send(page(1, 2, add=["a"])).status_code == 400
    assert (account.members, account.history()[0].state) == ({"a"}, "applied")


def test_a_task_with_a_missing_page_expires_after_a_day(account: Account) -> None:
    account.taken(page(task="before", add=["a"]))
    account.taken(page(1, 2, add=["b"]))
    account.later(hours=23)
    account.applying.tidy(account.now)
    assert account.waiting()
    account.later(hours=1)
    account.applying.tidy(account.now)
    assert (account.members, account.waiting(), account.history()[1].state) == ({"a"}, [], "expired")
    answer = account.send(page(2, 2, add=["c"]))
    assert answer.status_code == 400 and "expired" in answer.json()["error"]
    assert account.members == {"a"}


def test_unfinished_tasks_are_limited(account: Account) -> None:
    for number in range(64):
        account.taken(page(1, 2, task=str(number), segment=number))
    answer = account.send(page(1, 2, task="64"))
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) > 0
    account.taken(page(2, 2, task="0", segment=0))
    account.taken(page(1, 2, task="64"))


def test_segments_are_limited(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cairn.sync.audiences.MOST_AUDIENCES", 2)
    for number in (1, 2):
        account.taken(page(task=str(number), segment=number))
    assert account.send(page(task="3", segment=3)).status_code == 413
    account.taken(page(task="4", segment=2))
    assert len(account.audiences()) == 2


@pytest.mark.parametrize("signs", ["packed", "unpacked"])
def test_a_packed_body_is_taken(account: Account, signs: str) -> None:
    body = encoded(page(add=["a"]))
    packed = gzip.compress(body)
    header = sign(SECRET, to_ms(account.now), packed if signs == "packed" else body)
    account.taken(packed, header=header, Content_Encoding="gzip")
    assert account.members == {"a"}


@pytest.mark.parametrize(
    ("raw", "encoding", "status"),
    [
        pytest.param(gzip.compress(encoded(page())[:-1] + b" " * 10**8 + b"}"), "gzip", 413, id="bomb"),
        pytest.param(encoded(page())[:-1] + b" " * 4_000_000 + b"}", "", 413, id="too large"),
        pytest.param(gzip.compress(encoded(page()))[:-9], "gzip", 400, id="cut"),
        pytest.param(encoded(page()), "gzip", 400, id="not packed"),
        pytest.param(gzip.compress(encoded(page())), "br", 415, id="another encoding"),
    ],
)
def test_a_body_that_cannot_be_unpacked_is_refused(
    account: Account, raw: bytes, encoding: str, status: int
) -> None:
    answer = account.send(raw, Content_Encoding=encoding)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert account.audiences() == []
    if status == 413:
        assert account.refusals() == [answer.json()["error"]]


def test_the_same_refusal_is_one_entry_and_old_ones_are_forgotten(account: Account) -> None:
    body = encoded(page())
    for _ in range(5):
        account.send(body, secret="wrong")
        account.later(minutes=1)
    (entry,) = account.history()
    assert (entry.pages_received, entry.finished_at) == (5, account.now - timedelta(minutes=1))
    for number in range(205):
        account.send(with_value("action_type", f"other {number}"))
    assert len(account.history()) == 200  # the newest


def test_a_workspace_that_does_not_use_heap_segments_refuses_them(account: Account) -> None:
    with account.core.engine.begin() as connection:
        connection.execute(sa.update(heap_connections).values(targets_visitors=False))
    answer = account.send(page(add=["a"]))
    assert answer.status_code == 403 and "Integrations > Heap" in answer.json()["error"]
    assert account.refusals() == [answer.json()["error"]]


def test_what_changes_while_a_webhook_is_json_of_any_order(account: Account) -> None:
    body = json.loads(encoded(page(1, 2, add=["a"])))
    account.taken(body)
    account.taken(json.dumps(body, sort_keys=True, indent=3).encode())
    account.taken(page(2, 2, add=["b"]))
    assert account.members == {"a", "b"}

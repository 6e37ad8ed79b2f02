"""Delivery through the front door: events are sent as clients send them, and a real server is the destination."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patience import eventually
from tests.prepared import Demos
from tests.routing.target import Got, Say, Target, always, serving
from tests.routing.world import OPTIONS, SECRET, Api, Routed
from tests.served import Served


@pytest.fixture(scope="module")
def cairn(demos: Demos, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = demos.served(tmp_path_factory.mktemp("routed") / "data", *OPTIONS).start()
    yield served
    assert served.stop() == 0


@pytest.fixture
def routed(cairn: Served) -> Iterator[Routed]:
    routed = Routed(cairn)
    yield routed
    routed.close()


@pytest.fixture
def target() -> Iterator[Target]:
    with serving() as target:
        yield target


@pytest.mark.parametrize("batch", [1, 10])
def test_events_arrive_once_and_in_the_order_of_each_user(routed: Routed, target: Target, batch: int) -> None:
    known = routed.connect(target, batch=batch)
    users = [f"order{batch}-{number}" for number in range(5)]
    for first in range(0, 40, 20):
        routed.send(range(first, first + 20), *users)
    routed.passed(known)
    for user in users:
        assert target.numbers(user) == list(range(40))
    assert max(len(got.messages) for got in target.got) <= batch
    assert routed.counts(known) == {("delivered", ""): 200}
    sample = routed.samples(known)[0]
    assert sample.message["body"]["event"] == "Counted" and sample.answer["status"] == 200
    assert SECRET not in repr(routed.samples(known))


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 423, 429])
def test_what_may_succeed_later_is_sent_again_under_its_own_key_and_holds_its_user_only(
    routed: Routed, target: Target, status: int
) -> None:
    known = routed.connect(target)
    slow, quick = f"slow{status}", f"quick{status}"
    refused: list[str] = []

    def twice(got: Got) -> Say:
        if got.body["messageId"] == f"{slow}-0" and len(refused) < 2:
            refused.append(got.headers["webhook-id"])
            return Say(status)
        return Say()

    target.answer = twice
    routed.send(range(3), slow, quick)
    routed.passed(known)
    assert target.numbers(slow) == target.numbers(quick) == [0, 1, 2]
    assert refused == [f"{slow}-0"] * 2
    users = [message["userId"] for message in target.taken]
    assert users.index(slow) > 0, "others went first"
    assert routed.counts(known) == {("delivered", ""): 6, ("retried", f"answered_{status}"): 2}


def test_retry_after_makes_the_whole_connection_wait(routed: Routed, target: Target) -> None:
    known = routed.connect(target)
    limited = threading_once(Say(429, {"retry-after": "2"}))
    target.answer = limited
    routed.send([0], "first")
    eventually(lambda: len(target.got) == 1)
    routed.send([0], "second")
    state = eventually(lambda: (state := routed.state(known)) and state.state == "waiting" and state)
    assert "429" in state.detail
    assert len(target.got) == 1, "nobody is sent meanwhile"
    routed.passed(known)
    assert sorted(message["userId"] for message in target.taken) == ["first", "second"]


def threading_once(say: Say):  # type: ignore[no-untyped-def]
    said: list[Got] = []

    def answer(got: Got) -> Say:
        said.append(got)
        return say if len(said) == 1 else Say()

    return answer


@pytest.mark.parametrize("batch", [1, 10])
def test_a_target_that_is_away_loses_nothing_and_gets_nothing_twice(
    routed: Routed, target: Target, batch: int
) -> None:
    known = routed.connect(target, batch=batch)
    target.stop()
    users = [f"away{batch}-{number}" for number in range(4)]
    routed.send(range(10), *users)
    state = eventually(lambda: (state := routed.state(known)) and state.state == "waiting" and state)
    assert state.waiting == 40 and state.detail
    target.start()
    routed.passed(known)
    for user in users:
        assert target.numbers(user) == list(range(10))
    assert routed.letters(known) == []
    eventually(lambda: routed.state(known).state == "delivering")


@pytest.mark.parametrize("batch", [1, 8])
def test_an_event_that_is_refused_for_good_becomes_a_dead_letter_alone(
    routed: Routed, target: Target, batch: int
) -> None:
    """In a batch it is found by halving."""
    known = routed.connect(target, batch=batch)
    bad = f"bad{batch}-3"
    target.answer = lambda got: Say(
        400 if any(m["messageId"] == bad for m in got.messages) else 200, body=b"no"
    )
    routed.send(range(6), f"bad{batch}", f"good{batch}")
    routed.passed(known)
    assert target.numbers(f"bad{batch}") == [0, 1, 2, 4, 5]
    assert target.numbers(f"good{batch}") == [0, 1, 2, 3, 4, 5]
    [letter] = routed.letters(known)
    assert (letter.message["message_id"], letter.reason, letter.user_id) == (
        bad,
        "message_rejected",
        f"bad{batch}",
    )
    assert letter.request["url"] == target.url and letter.answer["body"] == "no" and "400" in letter.detail
    assert routed.counts(known)["failed", "message_rejected"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 8])
def test_an_event_that_makes_its_target_fail_is_given_up_while_others_succeed(
    routed: Routed, target: Target, batch: int
) -> None:
    known = routed.connect(target, batch=batch)
    bad = f"poison{batch}-0"
    target.answer = lambda got: Say(500 if any(m["messageId"] == bad for m in got.messages) else 200)
    routed.send([0], f"poison{batch}")
    number = 0

    def is_given_up() -> bool:
        nonlocal number
        number += 1
        routed.send([number], f"well{batch}")
        return bool(routed.letters(known))

    eventually(is_given_up)
    routed.send([1], f"poison{batch}")
    routed.passed(known)
    [letter] = routed.letters(known)
    assert letter.message["message_id"] == bad and "while other events were taken" in letter.detail
    assert target.numbers(f"well{batch}") == list(range(1, number + 1))
    assert target.numbers(f"poison{batch}") == [1]


def test_targets_that_hang_drip_or_answer_garbage_cost_only_their_own_connections(routed: Routed) -> None:
    with serving() as hanging, serving() as garbage, serving() as good:
        hanging.answer = hanging.hang
        garbage.answer = lambda got: Say(200, {"content-encoding": "gzip"}, b"x" * 5_000_000)
        known = [routed.connect(one) for one in (hanging, garbage, good)]
        routed.send(range(50), "isolated-a", "isolated-b")
        routed.passed(known[2])
        assert good.numbers("isolated-a") == good.numbers("isolated-b") == list(range(50))
        assert len(hanging.got) <= 8 and routed.log.committed(known[0].reader) < routed.log.end()
        for one in known:
            routed.delete(one)


def test_nothing_is_sent_to_addresses_of_this_network_and_the_reason_is_told(
    routed: Routed, target: Target
) -> None:
    known = routed.connect(target, settings={"url": "http://10.11.12.13:9/in", "batch": 1})
    routed.send(range(6), *[f"inside-{number}" for number in range(6)])
    state = eventually(lambda: (state := routed.state(known)) and state.state == "waiting" and state)
    assert "not a public address" in state.detail
    routed.delete(known)


def test_an_answer_of_many_megabytes_is_a_delivery_all_the_same(routed: Routed, target: Target) -> None:
    known = routed.connect(target)
    target.answer = lambda got: Say(200, {}, b"x" * 5_000_000)
    routed.send(range(3), "long")
    routed.passed(known)
    assert target.numbers("long") == [0, 1, 2]
    assert routed.counts(known) == {("delivered", ""): 3}


def test_what_is_not_for_a_connection_is_counted_with_its_reason(routed: Routed, target: Target) -> None:
    known = routed.connect(target, rules={"events": {"Switched off": False}})
    routed.send([0], "rules", event="Switched off")
    routed.send([1], "rules", integrations={"Webhook": False})
    routed.send([2], "rules")
    routed.passed(known)
    assert target.numbers("rules") == [2]
    assert routed.counts(known) == {
        ("delivered", ""): 1,
        ("discarded", "filtered_by_event_switch"): 1,
        ("discarded", "filtered_by_integrations_object"): 1,
    }


def test_a_connection_that_is_off_gets_nothing_also_later_and_holds_nothing(
    routed: Routed, target: Target
) -> None:
    known, other = routed.connect(target), routed.connect(target, name="Other")
    routed.send([0], "switch")
    routed.passed(known)
    routed.change(known, is_enabled=False)
    routed.change(other, settings={"url": target.url + "/other"})
    eventually(lambda: routed.send([1], "switch") or [got for got in target.got if got.path == "/in/other"])
    before = len([got for got in target.got if got.path == "/in"])
    routed.send([2], "switch")
    routed.passed(other)
    assert len([got for got in target.got if got.path == "/in"]) == before
    routed.change(known, is_enabled=True)
    eventually(
        lambda: routed.send([3], "switch") or len([got for got in target.got if got.path == "/in"]) > before
    )
    numbers = [got.body["properties"]["number"] for got in target.got if got.path == "/in"]
    assert 2 not in numbers and numbers[-1] == 3


def test_a_deleted_connection_leaves_nothing(routed: Routed, target: Target) -> None:
    known, other = routed.connect(target), routed.connect(target, name="Other")
    target.answer = always(400)
    routed.send([0], "deleted")
    routed.passed(known)
    routed.passed(other)
    assert routed.letters(known)
    routed.delete(known)
    eventually(lambda: routed.send([1], "deleted") or routed.counts(other)["failed", "message_rejected"] > 2)
    assert (routed.letters(known), routed.counts(known), routed.state(known)) == ([], {}, None)


def test_settings_that_are_not_complete_any_more_are_a_reason(routed: Routed, target: Target) -> None:
    import sqlalchemy as sa

    from cairn.db.routing_tables import connections

    known = routed.connect(target)
    with routed.engine.begin() as connection:  # as by a newer version of the destination
        changed = sa.update(connections).where(connections.c.id == known.id)
        connection.execute(
            changed.values(settings={"url": ""}, updated_at=known.updated_at.replace(year=2030))
        )
    eventually(
        lambda: routed.send([0], "broken") or ("discarded", "invalid_settings") in routed.counts(known)
    )
    assert routed.state(known).state == "stopped" and "url" in routed.state(known).detail
    routed.delete(known)


@pytest.mark.parametrize("batch", [1, 10])
def test_a_dead_letter_is_sent_once_more_when_somebody_asks(
    routed: Routed, target: Target, batch: int
) -> None:
    known, api = routed.connect(target, batch=batch), Api(routed)
    target.answer = always(400)
    routed.send([0, 1], f"buried{batch}")
    routed.passed(known)
    first, second = routed.letters(known)
    target.answer = always(418)
    here = {"params": {"environment": "production"}}
    api("POST", f"/connections/{known.id}/dead-letters/{first.id}/redrive", **here)
    again = eventually(lambda: next((one for one in routed.letters(known) if "418" in one.detail), None))
    assert (again.id, again.redrive_at) == (first.id, None), "it is the same letter, with the new answer"
    target.answer = always(200)
    api("POST", f"/connections/{known.id}/dead-letters/redrive", json={}, **here)
    eventually(lambda: not routed.letters(known))
    assert target.numbers(f"buried{batch}") == [0, 1]
    assert {first.message["message_id"], second.message["message_id"]} == {
        f"buried{batch}-0",
        f"buried{batch}-1",
    }


def test_a_deleted_user_is_dropped_on_the_way_and_from_dead_letters_and_others_are_not(
    routed: Routed, target: Target
) -> None:
    known, api = routed.connect(target), Api(routed)
    target.answer = always(400)
    routed.send([0], "leaves@shop.test", "stays@shop.test")
    routed.passed(known)
    assert len(routed.letters(known)) == 2
    target.answer = always(503)
    routed.send(range(1, 6), "leaves@shop.test", "stays@shop.test")
    eventually(lambda: (state := routed.state(known)) and state.state == "waiting" and state.waiting == 10)
    here = {"params": {"environment": "production"}}
    eventually(lambda: api("GET", "/users/leaves@shop.test/export", **here)["events"])
    asked = api("DELETE", "/users/leaves@shop.test", status=202, **here)
    eventually(lambda: api("GET", f"/deletions/{asked['id']}")["state"] == "complete")
    assert {letter.user_id for letter in routed.letters(known)} == {"stays@shop.test"}
    assert "leaves@shop.test" not in repr(routed.samples(known))
    before = len(target.got)
    target.answer = always(200)
    routed.passed(known)
    assert target.numbers("stays@shop.test") == [1, 2, 3, 4, 5]
    assert target.numbers("leaves@shop.test") == []
    assert not any(got.body["userId"] == "leaves@shop.test" for got in target.got[before:])


def test_of_a_batch_in_the_log_others_are_delivered_when_a_user_is_deleted(
    demos: Demos, tmp_path: Path, target: Target
) -> None:
    """Also when delivery has it no longer in memory, and reads it again."""
    served = demos.served(tmp_path / "data", *OPTIONS).start()
    routed = Routed(served)
    known, api = routed.connect(target), Api(routed)
    target.answer = always(503)
    routed.send(range(3), "leaves@shop.test", "stays@shop.test")
    eventually(lambda: (state := routed.state(known)) and state.waiting == 6)
    here = {"params": {"environment": "production"}}
    eventually(lambda: api("GET", "/users/leaves@shop.test/export", **here)["events"])
    asked = api("DELETE", "/users/leaves@shop.test", status=202, **here)
    eventually(lambda: api("GET", f"/deletions/{asked['id']}")["state"] == "complete")
    os.kill(delivery_pids(served)[0], signal.SIGKILL)
    target.answer = always(200)
    routed.passed(known)
    firsts = list(dict.fromkeys(target.numbers("stays@shop.test")))
    assert (firsts, target.numbers("leaves@shop.test")) == ([0, 1, 2], [])
    routed.close()
    assert served.stop() == 0


@pytest.mark.slow
def test_killed_again_and_again_it_leaves_no_gap_and_keeps_order_and_keys(
    demos: Demos, tmp_path: Path, target: Target
) -> None:
    served = demos.served(tmp_path / "data", *OPTIONS).start()
    routed = Routed(served)
    known = routed.connect(target)
    users = [f"killed-{number}" for number in range(10)]
    pid = served.ready["delivery_pid"]
    for kill in range(5):
        routed.send(range(kill * 20, kill * 20 + 20), *users)
        heard = len(target.got)
        eventually(lambda heard=heard: len(target.got) > heard + 20)
        os.kill(pid, signal.SIGKILL)
        pid = eventually(lambda dead=pid: next((one for one in delivery_pids(served) if one != dead), 0))
    routed.passed(known)
    by_id: dict[str, set[str]] = {}
    for got in target.got:
        by_id.setdefault(got.body["messageId"], set()).add(got.headers["webhook-id"])
    assert len(by_id) == 1_000
    assert all(keys == {message_id} for message_id, keys in by_id.items())
    for user in users:
        firsts = list(dict.fromkeys(target.numbers(user)))
        assert firsts == list(range(100))
    routed.close()
    assert served.stop() == 0


def delivery_pids(served: Served) -> list[int]:
    """The processes that the supervisor has started for this role now."""
    pids = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == served.pid and b"deliver" in command:
            pids.append(int(entry.name))
    return pids

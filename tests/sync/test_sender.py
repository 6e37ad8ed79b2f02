"""Syncs as a partner sees them: signed pages of deltas, nothing lost, nothing twice, whatever the partner answers."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa

from cairn.db.sync_tables import partner_apps, partner_grants, segment_syncs, sync_targets
from cairn.http_client.retry import retry_after_s, retry_s
from cairn.members.sets import list_set
from cairn.sync import syncs
from cairn.sync.syncs import Sync
from cairn.sync.tasks import KEPT_TASKS, acknowledged_set, new_sample, save_new
from tests.sync.partner import OK, Answer, Partner, serve
from tests.sync.world import ID_TOKEN, NOW, SECRET, SyncWorld, sync_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SyncWorld]:
    with sync_world(tmp_path) as world:
        yield world


@pytest.fixture
def partner(world: SyncWorld) -> Iterator[Partner]:
    with serve(Partner(SECRET, world.now_ms)) as partner:
        yield partner


@pytest.fixture
def synced(world: SyncWorld, partner: Partner) -> Sync:
    return world.sync(world.partner_target(partner))


def numbered(count: int, start: int = 0) -> list[str]:
    return [f"user{number}@acme.test" for number in range(start, start + count)]


def members_at(partner: Partner, sync: Sync) -> set[str]:
    return partner.segments.get(sync.segment_id, set())


def shape(body: dict[str, Any]) -> tuple[int, int, int, int]:
    data = body["data"]
    info = data["sync_info"]
    return info["page_number"], info["total_pages"], len(data["add"]), len(data["remove"])


def test_the_first_sync_tells_everybody_as_the_contract_writes(
    world: SyncWorld, partner: Partner, synced: Sync
) -> None:
    world.enter("dana@acme.test", "li@acme.test")
    world.sender.settle()
    (body,) = partner.bodies
    task_id = body["data"]["sync_info"]["sync_task_id"]
    workspace = {"id": str(world.environment_id), "display_name": "Production"}
    assert body == {
        "id_token": ID_TOKEN,
        "action_type": "segment.users.sync",
        "customer_config": {
            "fields": [
                {
                    "field_id": "workspace",
                    "field_display_name": "Workspace",
                    "field_type": "identity_mapping",
                    "value": workspace,
                }
            ]
        },
        "data": {
            "segment": {"id": world.segment_id, "name": "Trial"},
            "sync_info": {"page_number": 1, "total_pages": 1, "sync_task_id": task_id},
            "add": [{"id": "dana@acme.test"}, {"id": "li@acme.test"}],
            "remove": [],
        },
    }
    sync, (task,) = world.read(synced), world.tasks(synced)
    assert (sync.acknowledged, sync.acknowledged_at, sync.error) == (2, NOW, "")
    assert (task.id, task.kind, task.state, task.added, task.removed) == (task_id, "first", "done", 2, 0)


def test_an_empty_segment_is_synced_too(world: SyncWorld, partner: Partner, synced: Sync) -> None:
    world.sender.settle()
    assert [shape(body) for body in partner.bodies] == [(1, 1, 0, 0)]
    assert world.tasks(synced)[0].state == "done"
    world.sender.settle()
    assert len(partner.bodies) == 1, "and nothing more is said"


def test_only_what_changed_is_told(world: SyncWorld, partner: Partner, synced: Sync) -> None:
    world.enter(*numbered(5))
    world.sender.settle()
    world.leave(*numbered(2))
    world.enter("new@acme.test")
    world.sender.settle()
    assert [shape(body) for body in partner.bodies] == [(1, 1, 5, 0), (1, 1, 1, 2)]
    assert members_at(partner, synced) == {*numbered(3, 2), "new@acme.test"}
    world.leave("new@acme.test")
    world.enter("new@acme.test")
    world.sender.settle()
    assert len(partner.bodies) == 2, "who went and came again is no change"


def test_a_full_count_that_changes_much_is_told_as_its_difference(
    world: SyncWorld, partner: Partner, synced: Sync
) -> None:
    world.counted(numbered(60_000))
    world.sender.settle()
    assert [shape(body)[:3] for body in partner.bodies] == [(number, 60, 1_000) for number in range(1, 61)]
    world.counted(numbered(60_000, 1_500))
    world.sender.settle()
    assert [shape(body) for body in partner.bodies[60:]] == [
        (1, 3, 0, 1_000),
        (2, 3, 500, 500),
        (3, 3, 1_000, 0),
    ]
    world.counted([])
    world.sender.settle()
    assert members_at(partner, synced) == set()


def test_each_difference_is_told_once_whatever_happens_in_between(
    world: SyncWorld, partner: Partner, synced: Sync
) -> None:
    """Random changes and random answers; in the end both sides hold the same, and each task had one id."""
    chance = random.Random(7)

    def moody(_: dict[str, Any]) -> Answer:
        return chance.choice([OK, OK, OK, (429, {"retry-after": "3"}), (500, {}), (404, {})])

    partner.answer = moody
    for _ in range(60):
        chosen = chance.sample(numbered(4_000), chance.choice([1, 5, 1_200]))
        (world.enter if chance.random() < 0.6 else world.leave)(*chosen)
        world.sender.settle()
        if chance.random() < 0.3:
            world.sender = world.new_sender()  # as after a restart
        world.later(seconds=chance.choice([0, 1, 400]))
    partner.answer = lambda _: OK
    world.later(hours=1)
    world.sender.settle()
    world.sender.settle()
    listed = {value for value, _ in world.members.values(list_set(world.list_id))}
    assert members_at(partner, synced) == listed
    assert {value for value, _ in world.members.values(acknowledged_set(synced.id))} == listed
    sent = [
        (info["sync_task_id"], info["page_number"])
        for info in (body["data"]["sync_info"] for body in partner.bodies)
    ]
    assert len(sent) == len(set(sent)), "no page was taken twice"
    assert world.read(synced).error == ""


@pytest.mark.parametrize("status", [301, 400, 403, 404, 408, 410, 429, 500, 503])
def test_any_other_answer_is_tried_again(
    world: SyncWorld, partner: Partner, synced: Sync, status: int
) -> None:
    world.enter("dana@acme.test")
    partner.answer = lambda _: (status, {})
    world.sender.settle()
    sync, (task,) = world.read(synced), world.tasks(synced)
    assert (task.state, task.attempts) == ("sending", 1)
    assert f"answered {status}" in task.error and sync.error == task.error
    assert sync.failed_at == NOW
    partner.answer = lambda _: OK
    world.later(seconds=2)
    world.sender.settle()
    sync, (task,) = world.read(synced), world.tasks(synced)
    assert (task.state, task.error, sync.error, sync.failed_at) == ("done", "", "", None)
    assert members_at(partner, synced) == {"dana@acme.test"}


def test_retry_after_is_kept_to(world: SyncWorld, partner: Partner, synced: Sync) -> None:
    world.enter("dana@acme.test")
    partner.answer = lambda _: (429, {"retry-after": "60"})
    world.sender.settle()
    world.later(seconds=59)
    world.sender.settle()
    assert partner.seen == 1
    world.later(seconds=1)
    world.sender.settle()
    assert partner.seen == 2


def test_what_retry_after_can_say() -> None:
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert [retry_after_s(text, now) for text in ("7", " 7 ", "0", "999999999")] == [7, 7, 0, 3_600]
    assert retry_after_s("Sat, 21 Nov 2026 12:00:30 GMT", now) == 30
    assert retry_after_s("Sat, 21 Nov 2026 11:00:00 GMT", now) == 0
    assert [retry_after_s(text, now) for text in ("", "soon", "-1", "1e3", "7.5", "٧", "9" * 500)] == [
        None
    ] * 7


def test_waits_grow_up_to_five_minutes() -> None:
    assert [retry_s(attempts, None, 1.0) for attempts in (1, 2, 3, 9, 10, 500)] == [1, 2, 4, 256, 300, 300]
    assert retry_s(9, None, 0.0) == 128
    assert retry_s(9, 3.0, 0.5) == 3


def test_a_partner_that_is_down_for_an_hour_misses_nothing(
    world: SyncWorld, partner: Partner, synced: Sync
) -> None:
    world.enter(*numbered(1_500))
    down = [0]

    def answer(body: dict[str, Any]) -> Answer:
        down[0] += 1
        return (503, {}) if down[0] >= 2 else OK

    partner.answer = answer
    for minute in range(60):
        world.sender.settle()
        world.enter(f"late{minute}@acme.test")
        world.leave(f"user{minute}@acme.test")
        world.later(minutes=1)
    (task,) = world.tasks(synced)
    assert (task.pages, task.pages_acknowledged, task.state) == (2, 1, "sending")
    assert task.attempts < 60
    partner.answer = lambda _: OK
    world.later(minutes=5)
    world.sender.settle()
    assert members_at(partner, synced) == {
        value for value, _ in world.members.values(list_set(world.list_id))
    }
    assert [task.kind for task in world.tasks(synced)] == ["delta", "first"]


def test_a_partner_that_does_not_answer_in_time_is_tried_again(world: SyncWorld, partner: Partner) -> None:
    release = Event()
    sync = world.sync(world.partner_target(partner))
    world.enter("dana@acme.test")

    def hang(_: dict[str, Any]) -> Answer:
        release.wait(20)
        return OK

    partner.answer = hang
    world.sender = world.new_sender(timeout_s=0.3)
    world.sender.settle()
    assert world.tasks(sync)[0].attempts == 1
    assert "too long" in world.read(sync).error or "timed out" in world.read(sync).error
    release.set()
    partner.answer = lambda _: OK
    world.later(minutes=1)
    world.sender.settle()
    assert members_at(partner, sync) == {"dana@acme.test"}


@pytest.mark.parametrize("every", ["15m", "1h", "4h", "1d"])
def test_a_recurring_sync_waits_for_its_time(world: SyncWorld, partner: Partner, every: str) -> None:
    sync = world.sync(world.partner_target(partner), every=every)
    world.enter("dana@acme.test")
    world.sender.settle()
    world.enter("li@acme.test")
    period = {
        "15m": timedelta(minutes=15),
        "1h": timedelta(hours=1),
        "4h": timedelta(hours=4),
        "1d": timedelta(days=1),
    }
    world.later(seconds=period[every].total_seconds() - 1)
    world.sender.settle()
    assert members_at(partner, sync) == {"dana@acme.test"}
    world.later(seconds=1)
    world.sender.settle()
    assert members_at(partner, sync) == {"dana@acme.test", "li@acme.test"}


def test_sync_now_sends_what_there_is_and_no_more(world: SyncWorld, partner: Partner) -> None:
    sync = world.sync(world.partner_target(partner), every="once")
    world.enter("dana@acme.test")
    world.sender.settle()
    world.enter("li@acme.test")
    world.later(days=3)
    world.sender.settle()
    assert members_at(partner, sync) == {"dana@acme.test"}
    with world.engine.begin() as connection:
        syncs.sync_now(connection, world.environment_id, sync.id, world.now)
    world.sender.settle()
    assert members_at(partner, sync) == {"dana@acme.test", "li@acme.test"}


def test_a_sync_that_is_paused_sends_nothing_and_then_everything(
    world: SyncWorld, partner: Partner, synced: Sync
) -> None:
    world.enter("dana@acme.test")
    world.sender.settle()
    change(world, synced, is_on=False)
    world.enter("li@acme.test")
    world.leave("dana@acme.test")
    world.sender.settle()
    assert partner.seen == 1
    change(world, synced, is_on=True)
    world.sender.settle()
    assert members_at(partner, synced) == {"li@acme.test"}


def change(world: SyncWorld, sync: Sync, **changes: Any) -> None:
    with world.engine.begin() as connection:
        syncs.change_sync(connection, world.environment_id, sync.id, now=world.now, **changes)


@pytest.mark.parametrize("how", ["disabled", "revoked"])
def test_a_target_that_may_not_be_told_is_not_told(
    world: SyncWorld, partner: Partner, synced: Sync, how: str
) -> None:
    table = sa.update(sync_targets).values(is_enabled=False)
    if how == "revoked":
        table = sa.update(partner_grants).values(revoked_at=NOW)
    with world.engine.begin() as connection:
        connection.execute(table)
    world.enter("dana@acme.test")
    world.sender.settle()
    assert partner.seen == 0


def test_ending_a_sync_takes_the_members_back_first(world: SyncWorld, partner: Partner, synced: Sync) -> None:
    world.enter(*numbered(3))
    world.sender.settle()
    with world.engine.begin() as connection:
        syncs.end_sync(connection, world.environment_id, synced.id, empties=True, now=world.now)
    world.sender.settle()
    assert shape(partner.bodies[-1]) == (1, 1, 0, 3)
    assert members_at(partner, synced) == set()
    with pytest.raises(syncs.SyncNotFound):
        world.read(synced)
    assert world.members.size(acknowledged_set(synced.id)) == 0


def test_ending_a_sync_can_leave_the_members_there(world: SyncWorld, partner: Partner, synced: Sync) -> None:
    world.enter(*numbered(3))
    world.sender.settle()
    with world.engine.begin() as connection:
        syncs.end_sync(connection, world.environment_id, synced.id, empties=False, now=world.now)
    world.sender.settle()
    assert (partner.seen, members_at(partner, synced)) == (1, set(numbered(3)))
    assert world.members.size(acknowledged_set(synced.id)) == 0, "what it held is forgotten here"
    assert world.members.followed() == []


def test_a_sync_deleted_while_it_is_sent_ends(world: SyncWorld, partner: Partner, synced: Sync) -> None:
    world.enter(*numbered(5_000))

    def delete(body: dict[str, Any]) -> Answer:
        if body["data"]["sync_info"]["page_number"] == 2:
            with world.engine.begin() as connection:
                connection.execute(sa.delete(segment_syncs))
        return OK

    partner.answer = delete
    world.sender.settle()
    world.sender.settle()
    assert world.members.sets("task/") == [] or not any(map(world.members.size, world.members.sets("task/")))


def test_a_new_secret_signs_from_its_moment_on(world: SyncWorld, partner: Partner, synced: Sync) -> None:
    with world.engine.begin() as connection:
        connection.execute(
            sa.update(partner_apps).values(
                next_webhook_secret_sealed=world.seal.close("new-secret"),
                next_webhook_secret_at=NOW + timedelta(hours=1),
            )
        )
    world.enter("dana@acme.test")
    world.sender.settle()
    partner.secret = "new-secret"
    world.later(hours=1)
    world.enter("li@acme.test")
    world.sender.settle()
    assert members_at(partner, synced) == {"dana@acme.test", "li@acme.test"}


def test_a_sample_shows_a_few_members_and_spoils_nothing(world: SyncWorld, partner: Partner) -> None:
    sync = world.sync(world.partner_target(partner), every="once")
    change(world, sync, is_on=False)
    world.enter(*numbered(30))
    sample = new_sample(sync, world.now)
    with world.engine.begin() as connection:
        save_new(connection, sample)
    world.sender.settle()
    (body,) = partner.bodies
    assert shape(body) == (1, 1, 10, 0)
    (task,) = world.tasks(sync)
    assert (task.kind, task.state, task.added) == ("sample", "done", 10)
    sampled = {one["id"] for one in body["data"]["add"]}
    world.leave(*sampled)
    with world.engine.begin() as connection:
        syncs.sync_now(connection, world.environment_id, sync.id, world.now)
    world.sender.settle()
    assert members_at(partner, sync) == set(numbered(30)) - sampled


def test_a_sample_that_is_refused_says_why_and_is_not_repeated(
    world: SyncWorld, partner: Partner, synced: Sync
) -> None:
    change(world, synced, is_on=False)
    partner.answer = lambda _: (500, {})
    with world.engine.begin() as connection:
        save_new(connection, new_sample(synced, world.now))
    world.sender.settle()
    world.later(hours=1)
    world.sender.settle()
    (task,) = world.tasks(synced)
    assert (task.state, partner.seen) == ("failed", 1)
    assert "answered 500" in task.error


def test_an_address_that_may_not_be_called_is_said(world: SyncWorld, partner: Partner, synced: Sync) -> None:
    with world.engine.begin() as connection:
        connection.execute(sa.update(partner_apps).values(webhook_url="http://10.0.0.1/webhook"))
    world.enter("dana@acme.test")
    world.sender.settle()
    assert "not a public address" in world.read(synced).error


def test_history_is_kept_within_bounds(world: SyncWorld, partner: Partner, synced: Sync) -> None:
    for number in range(KEPT_TASKS + 20):
        world.enter(f"user{number}")
        world.later(seconds=1)
        world.sender.settle()
    with world.engine.connect() as connection:
        assert len(syncs.tasks_of(connection, synced.id, 10_000)) == KEPT_TASKS


def test_members_of_any_text_arrive_as_they_are(world: SyncWorld, partner: Partner, synced: Sync) -> None:
    names = {"", " ", "a\0b", "ÄÖ ", "\U0001f600", "x" * 600, '"quoted\\"', "007", "null"}
    world.enter(*names)
    world.sender.settle()
    assert members_at(partner, synced) == names
    world.leave(*names)
    world.sender.settle()
    assert members_at(partner, synced) == set()


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("at", range(8))
def test_an_end_of_the_process_anywhere_loses_and_doubles_nothing(
    world: SyncWorld, partner: Partner, synced: Sync, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """The process ends at the n-th write to the members store, or the partner's n-th answer is never seen."""
    world.enter(*numbered(1_200))
    world.sender.settle()
    world.leave(*numbered(700))
    world.enter(*numbered(1_800, 5_000))
    count = [0]

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **keywords: Any) -> Any:
            count[0] += 1
            if count[0] == at + 1:
                raise Killed
            return real(*args, **keywords)

        return call

    with monkeypatch.context() as patched:
        for name in ("apply_all", "fill_difference", "adopt", "combine", "drop"):
            patched.setattr(world.members, name, dying(getattr(world.members, name)))
        patched.setattr("threading.excepthook", lambda _: None)
        world.sender.settle()
    world.sender = world.new_sender()
    world.later(hours=1)
    world.sender.settle()
    world.sender.settle()
    listed = {value for value, _ in world.members.values(list_set(world.list_id))}
    assert members_at(partner, synced) == listed
    assert {value for value, _ in world.members.values(acknowledged_set(synced.id))} == listed
    assert not any(map(world.members.size, world.members.sets("task/")))


def test_a_user_who_is_deleted_is_taken_out_at_the_partner_and_named_in_no_feed(
    world: SyncWorld, partner: Partner, synced: Sync
) -> None:
    """As the deletion of a user does it: out of the list, and out of what the feed holds."""
    world.enter(*numbered(3))
    world.sender.settle()
    world.leave("user1@acme.test")
    world.members.forget_changes(list_set(world.list_id))
    world.sender.settle()
    assert members_at(partner, synced) == {"user0@acme.test", "user2@acme.test"}
    names = {value for name in world.members.sets("") for value in world.members.texts(name)}
    assert "user1@acme.test" not in names


def test_a_sync_that_is_ended_while_a_task_waits_empties_the_partner_all_the_same(
    world: SyncWorld, partner: Partner, synced: Sync
) -> None:
    world.enter(*numbered(3))
    world.sender.settle()
    world.enter("late@acme.test")
    partner.answer = lambda _: (503, {})
    world.sender.settle()
    with world.engine.begin() as connection:
        syncs.end_sync(connection, world.environment_id, synced.id, empties=True, now=world.now)
    partner.answer = lambda _: OK
    world.later(minutes=10)
    world.sender.settle()
    assert members_at(partner, synced) == set()
    with pytest.raises(syncs.SyncNotFound):
        world.read(synced)


def test_a_partner_hears_twice_a_day_that_nothing_has_changed(
    world: SyncWorld, partner: Partner, synced: Sync
) -> None:
    world.enter("dana@acme.test")
    world.sender.settle()
    for _ in range(24):
        world.later(hours=1)
        world.sender.settle()
    assert [shape(body) for body in partner.bodies] == [(1, 1, 1, 0), (1, 1, 0, 0), (1, 1, 0, 0)]
    assert [task.kind for task in world.tasks(synced)] == ["alive", "alive", "first"]


def test_a_clock_that_was_set_back_keeps_no_retry_waiting(
    world: SyncWorld, partner: Partner, synced: Sync
) -> None:
    world.enter("dana@acme.test")
    partner.answer = lambda _: (503, {})
    world.sender.settle()
    partner.answer = lambda _: OK
    world.later(days=-2)
    world.sender.settle()
    assert members_at(partner, synced) == {"dana@acme.test"}


@pytest.mark.parametrize("settings", [{}, {"url": 7}, "text", None])
def test_a_target_whose_settings_cannot_be_read_waits_by_itself(
    world: SyncWorld, partner: Partner, synced: Sync, settings: object
) -> None:
    """As a hand in the database, or a newer Cairn, would leave it."""
    with world.engine.begin() as connection:
        damaged = connection.execute(
            sa.insert(sync_targets)
            .values(
                environment_id=world.environment_id,
                kind="webhook",
                name="Damaged",
                settings=settings or {},
                secret_sealed=world.seal.close("whsec_" + "A" * 44),
                created_at=NOW,
                updated_at=NOW,
            )
            .returning(sync_targets.c.id)
        ).scalar_one()
    other = world.sync(damaged)
    with world.engine.begin() as connection:
        save_new(connection, new_sample(other, world.now))
    world.enter("dana@acme.test")
    world.sender.settle()
    world.sender.settle()
    assert members_at(partner, synced) == {"dana@acme.test"}
    waiting = world.read(other)
    assert waiting.error and waiting.failed_at is not None
    sample, task = sorted(world.tasks(other), key=lambda each: each.kind != "sample")
    assert (sample.state, task.state, task.attempts) == ("failed", "sending", 1)

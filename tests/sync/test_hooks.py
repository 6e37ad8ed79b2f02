"""Webhooks about Cairn itself: told once, in order, signed, again until they are taken, each by itself."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from cairn.client_address import TrustedProxies
from cairn.db.sync_tables import outbound_hooks, segment_syncs
from cairn.errors import InvalidInput
from cairn.http_client import HttpClient
from cairn.sync import hooks
from cairn.sync.hook_sender import HookSender
from cairn.sync.hooks import HookExists, Message, TooManyHooks
from tests.sync.partner import Partner, serve
from tests.sync.test_kinds import Kept, check
from tests.sync.test_kinds import server as server  # a fixture
from tests.sync.world import RULES, SECRET, SyncWorld, sync_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SyncWorld]:
    with sync_world(tmp_path) as world:
        world.now = datetime.now(UTC)  # which libraries compare a signature's time with
        yield world


@pytest.fixture
def sender(world: SyncWorld) -> HookSender:
    return HookSender(world.engine, world.seal, HttpClient(TrustedProxies("127.0.0.0/8")), world.clock)


def add(world: SyncWorld, url: str, kind: str = "settings") -> tuple[int, str]:
    with world.engine.begin() as connection:
        hook, secret = hooks.create_hook(
            connection, world.seal, world.environment_id, kind, url, RULES, world.now
        )
    return hook.id, secret


def history(world: SyncWorld, hook_id: int) -> list[Message]:
    with world.engine.connect() as connection:
        return hooks.messages_of(connection, hook_id)


def test_a_change_of_settings_is_told_as_the_vendor_tells_it(
    world: SyncWorld, sender: HookSender, server: Kept
) -> None:
    hook_id, secret = add(world, f"http://127.0.0.1:{server.server_port}/told")
    sender.settings_changed({world.environment_id, 999})
    sender.settle()
    ((_, path, headers, body),) = server.requests
    told = json.loads(body)
    assert (path, headers["x-vwo-auth"]) == ("/told", secret)
    assert (told["event"], told["action"]) == ("settings_changed", "campaign_settings_changed")
    assert told["triggered_by"] == "vwo" and abs(told["timestamp"] - world.now.timestamp()) <= 1
    asked = {"webhook": {"secret": secret, "headers": headers, "body": body.decode()}}
    assert check(asked)["webhook"] == told
    (message,) = history(world, hook_id)
    assert (message.state, message.status, message.attempts) == ("done", 200, 1)


def test_changes_while_one_waits_are_told_once(world: SyncWorld, sender: HookSender, server: Kept) -> None:
    add(world, f"http://127.0.0.1:{server.server_port}")
    for _ in range(5):
        sender.settings_changed({world.environment_id})
    sender.settle()
    assert len(server.requests) == 1


def test_a_message_is_sent_again_under_its_id_until_it_is_taken(
    world: SyncWorld, sender: HookSender, server: Kept
) -> None:
    hook_id, _ = add(world, f"http://127.0.0.1:{server.server_port}")
    server.answers = [500, 404]
    sender.settings_changed({world.environment_id})
    for _ in range(3):
        sender.settle()
        world.later(seconds=5)
    assert len({headers["webhook-id"] for _, _, headers, _ in server.requests}) == 1
    (message,) = history(world, hook_id)
    assert (message.state, message.attempts, message.error) == ("done", 3, "")


def test_a_message_is_given_up_after_an_hour_and_the_next_is_sent(
    world: SyncWorld, sender: HookSender, server: Kept
) -> None:
    hook_id, _ = add(world, f"http://127.0.0.1:{server.server_port}")
    server.answers = [500] * 1_000
    sender.settings_changed({world.environment_id})
    for _ in range(70):
        sender.settle()
        world.later(minutes=1)
    (message,) = history(world, hook_id)
    assert message.state == "failed" and "answered 500" in message.error
    server.answers = []
    sender.settings_changed({world.environment_id})
    sender.settle()
    assert [message.state for message in history(world, hook_id)] == ["done", "failed"]


def test_a_failing_sync_is_noticed_once_and_so_is_its_recovery(
    world: SyncWorld, sender: HookSender, server: Kept
) -> None:
    add(world, f"http://127.0.0.1:{server.server_port}", kind="notices")
    with serve(Partner(SECRET, world.now_ms)) as partner:
        sync = world.sync(world.partner_target(partner))
        partner.answer = lambda _: (503, {})
        world.sender.settle()
        for _ in range(3):
            sender.settle()
            world.later(minutes=4)
        assert [json.loads(body)["type"] for _, _, _, body in server.requests] == ["sync.failing"]
        data = json.loads(server.requests[0][3])["data"]
        assert (data["segment"], data["target"]) == ("Trial", "Partner") and "503" in data["reason"]
        partner.answer = lambda _: (200, {})
        world.sender.settle()
        sender.settle()
        sender.settle()
    assert [json.loads(body)["type"] for _, _, _, body in server.requests] == [
        "sync.failing",
        "sync.recovered",
    ]
    with world.engine.connect() as connection:
        assert connection.execute(sa.select(segment_syncs.c.is_noticed)).scalar() is False
    assert world.read(sync).error == ""


def test_what_cannot_be_a_webhook_is_refused_at_its_field(world: SyncWorld) -> None:
    for kind, url, field in (
        ("settings", "ftp://one.example", "url"),
        ("settings", "", "url"),
        ("else", "https://one.example", "kind"),
    ):
        with pytest.raises(InvalidInput) as refused:
            add(world, url, kind)
        assert refused.value.field == field
    add(world, "https://one.example")
    with pytest.raises(HookExists):
        add(world, "https://one.example")
    for number in range(hooks.MOST_HOOKS - 1):
        add(world, f"https://one.example/{number}")
    with pytest.raises(TooManyHooks):
        add(world, "https://one.example/more")


def test_a_name_that_leads_to_this_machine_is_not_called(world: SyncWorld, sender: HookSender) -> None:
    hook_id, _ = add(world, "https://app.example/hook")
    with world.engine.begin() as connection:  # as if the name had led elsewhere when it was saved
        connection.execute(sa.update(outbound_hooks).values(url="http://169.254.169.254/latest"))
    sender.settings_changed({world.environment_id})
    sender.settle()
    (message,) = history(world, hook_id)
    assert "not a public address" in message.error and message.status == 0

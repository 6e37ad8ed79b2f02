"""A sync or webhook that fails is said where people look: on Home, with since when and why, until it is well."""

from datetime import datetime

import sqlalchemy as sa

from cairn.client_address import TrustedProxies
from cairn.db.sync_tables import outbound_hooks, segment_syncs
from cairn.sync.addresses import AddressRules
from cairn.sync.hooks import create_hook
from cairn.sync.new_target import NewTarget, create_target
from cairn.sync.syncs import NewSync, create_sync, end_sync
from tests.web.conftest import NOW, Browser, World
from tests.web.editing import HERE, make_segment

RULES = AddressRules(TrustedProxies(""), is_on_loopback=False)


def test_failing_syncs_and_webhooks_stand_on_home(world: World, owner: Browser) -> None:
    here = world.a
    with world.core.engine.begin() as connection:
        new = NewTarget("webhook", "CRM", "https://crm.example/hook")
        target, _ = create_target(connection, world.core.seal, here.environment.id, new, RULES, NOW)
    made = [make_segment(owner, f"synced{number}") for number in range(5)]
    with world.core.engine.begin() as connection:
        for segment_id in made:
            create_sync(
                connection, here.workspace_id, here.environment.id, segment_id, NewSync(target.id), NOW
            )
        create_hook(
            connection,
            world.core.seal,
            here.environment.id,
            "settings",
            "https://app.example/hook",
            RULES,
            NOW,
        )
    assert "is not synced to" not in owner.get(HERE).text
    fail(world, "answered 503: not now", NOW)
    home = owner.get(HERE).text
    assert home.count("is not synced to CRM since") == 3 and "2 more syncs fail" in home
    assert "answered 503: not now" in home and "The webhook to https://app.example/hook is not taken" in home
    fail(world, "", None)
    home = owner.get(HERE).text
    assert "is not synced to" not in home and "is not taken" not in home


def fail(world: World, error: str, failed_at: datetime | None) -> None:
    with world.core.engine.begin() as connection:
        for table in (segment_syncs, outbound_hooks):
            connection.execute(sa.update(table).values(error=error, failed_at=failed_at))


def test_a_synced_segment_is_deleted_once_its_sync_is_removed(world: World, owner: Browser) -> None:
    here = world.a
    segment_id = make_segment(owner, "kept-elsewhere")
    with world.core.engine.begin() as connection:
        new = NewTarget("webhook", "Elsewhere", "https://elsewhere.example/hook")
        target, _ = create_target(connection, world.core.seal, here.environment.id, new, RULES, NOW)
        sync = create_sync(
            connection, here.workspace_id, here.environment.id, segment_id, NewSync(target.id), NOW
        )
    refused = owner.post(f"{HERE}/segments/{segment_id}/delete", {})
    assert refused.status_code == 409 and "synced to Elsewhere" in refused.text
    with world.core.engine.begin() as connection:
        end_sync(connection, here.environment.id, sync.id, empties=True, now=NOW)
    assert owner.post(f"{HERE}/segments/{segment_id}/delete", {}).status_code == 200
    assert owner.get(f"{HERE}/segments/{segment_id}").status_code == 404

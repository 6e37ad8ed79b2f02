"""Tokens that end on a date, and tokens that reach one environment only, over every route there is."""

import re
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from cairn.api.app import ENDPOINTS
from cairn.api.endpoint import Endpoint
from cairn.app.call import Call
from cairn.app.flags import get_flag, switch_flag
from cairn.app.rules import add_rule
from cairn.clock import to_ms
from cairn.db.tables import api_tokens, environments, segment_states, sources
from cairn.errors import InvalidInput
from cairn.event import Draft, Refused
from cairn.flags.model import Allocation
from cairn.flags.rule_definition import NewRule
from cairn.ids import event_id
from cairn.outcomes import Reason
from cairn.privacy.snapshot import THIS, NewSnapshot, add_snapshot
from cairn.store.store import AccountChange, PropertyChange
from cairn.workspace.api_token import create_token
from cairn.workspace.environment import list_environments
from cairn.workspace.label_site import name_site
from cairn.workspace.permission import Role, Verb
from tests.api.conftest import Tenant, World, make_tenant
from tests.api.test_tenancy import every_endpoint


def secret_of(world: World, **limits: Any) -> str:
    with world.core.engine.begin() as connection:
        return create_token(
            connection,
            world.a.workspace_id,
            name="limited",
            role=Role.OWNER,
            now=world.core.clock(),
            **limits,
        )[1]


def ask(world: World, endpoint: Endpoint, secret: str, environment: str | None) -> Any:
    """The call as its example, in an environment; None: without one where it may be left out."""
    path = {**world.a.path, **({"environment": environment} if environment else {})}
    fields = endpoint.query_type.__struct_fields__
    query = {"environment": environment} if environment and "environment" in fields else {}
    body: dict[str, Any] = {} if endpoint.body_type is None else {"json": dict(endpoint.example)}
    if environment and "environment" in body.get("json", {}):
        body["json"]["environment"] = environment
    headers = {"Authorization": f"Bearer {secret}"}
    return world.call(endpoint.method, endpoint.path.format(**path), params=query, headers=headers, **body)


def names_environment(endpoint: Endpoint) -> bool:
    example = endpoint.example if isinstance(endpoint.example, dict) else {}
    places = (endpoint.path_types, endpoint.query_type.__struct_fields__, example)
    return any("environment" in place for place in places)


# They name an environment, and concern all of them, or another one too.
OF_ALL_ENVIRONMENTS = {"delete_user", "change_account_property", "copy_a_connection"}


@every_endpoint
def test_a_token_of_one_environment_reaches_no_other(world: World, endpoint: Endpoint) -> None:
    with world.core.reading() as connection:
        found = list_environments(connection, world.a.workspace_id)
    other = next(each.key for each in found if each.id != world.a.environment)
    secret = secret_of(world, environment_id=world.a.environment)
    before = world.everything()
    answer = ask(world, endpoint, secret, other)
    assert (answer.status_code, answer.json()["code"]) == (403, "token_of_one_environment"), answer.text
    assert world.everything() == before
    here = ask(world, endpoint, secret, "production")
    if endpoint.name in OF_ALL_ENVIRONMENTS or not names_environment(endpoint):
        assert (here.status_code, here.json()["code"]) == (403, "token_of_one_environment"), here.text
        assert world.everything() == before
    else:  # an example may fail for what the call before it did, but not for the token
        assert here.status_code not in (401, 403), here.text


OTHER = "otherworld"  # stands in everything that the other environment has


@pytest.fixture(scope="module")
def two_worlds(world: World) -> Tenant:
    """A workspace whose second environment has something of everything, all of it recognizable."""
    tenant = make_tenant(world.core, "twofold")
    core, now = world.core, world.core.clock()
    with core.engine.begin() as connection:
        other = list_environments(connection, tenant.workspace_id)[1].id
        here, there = environments.c.id == tenant.environment, environments.c.id == other
        connection.execute(sa.update(environments).where(here).values(name="Here"))
        row = {"name": OTHER.title(), "key": OTHER, "app_id": "4040404040"}
        connection.execute(sa.update(environments).where(there).values(**row))
        sent = sources.c.environment_id == other
        connection.execute(sa.update(sources).where(sent).values(name=OTHER + sa.cast(sources.c.id, sa.Text)))
        failed = segment_states.c.environment_id == other
        failing = {"error": f"{OTHER} failed", "failed_at": now, "users": 40404}
        connection.execute(sa.update(segment_states).where(failed).values(**failing))
        name_site(connection, other, f"https://{OTHER}.example", by=OTHER, own="", now=now)
        place = NewSnapshot(OTHER, "click", "a", "text", THIS)
        add_snapshot(connection, other, place, now, may_run_javascript=False)
    owner = Call(core, tenant.workspace_id, OTHER, Role.OWNER, now)
    there = owner.environment(other)
    stored = get_flag(owner, tenant.flag_key)
    rule = NewRule(kind="rollout", key=OTHER, name=OTHER, allocations=(Allocation(1),))
    add_rule(owner, stored.flag.id, there, rule)
    switch_flag(owner, stored.flag.id, there, is_on=True)
    sent_ms = to_ms(now)
    refused = Refused(other, sent_ms, Reason.JUNK_IDENTITY, OTHER, OTHER, OTHER, OTHER, OTHER)
    core.store.insert_refusals([refused])
    event = Draft(
        other,
        "custom",
        OTHER,
        sent_ms,
        sent_ms,
        user_id=tenant.user_id,
        event_id=event_id(OTHER, "1"),
        properties={"world": OTHER},
        session_id=9,
        facts={"path": f"/{OTHER}"},
        source=OTHER,
    )
    core.store.insert_events([event])
    set_ms = sent_ms << 22
    core.store.insert_properties([PropertyChange(other, tenant.user_id, "plan", OTHER, sent_ms, set_ms)])
    core.store.insert_account_properties(
        [AccountChange(other, tenant.path["account"], OTHER, OTHER, sent_ms, set_ms)]
    )
    return tenant


@pytest.mark.parametrize(
    "endpoint",
    [known for known in ENDPOINTS if known.verb is Verb.SEE or known.name == "switch_flag"],
    ids=lambda known: known.name,
)
def test_a_token_of_one_environment_is_told_nothing_of_another(
    world: World, two_worlds: Tenant, endpoint: Endpoint
) -> None:
    with world.core.engine.begin() as connection:
        secret = create_token(
            connection,
            two_worlds.workspace_id,
            name="one",
            role=Role.OWNER,
            now=world.core.clock(),
            environment_id=two_worlds.environment,
        )[1]
    path = endpoint.path.format(**{**two_worlds.path, "environment": "production"})
    body = {} if endpoint.body_type is None else {"json": endpoint.example}
    whole = {"Authorization": f"Bearer {two_worlds.tokens[Role.OWNER]}"}
    may_name = "environment" in endpoint.query_type.__struct_fields__
    told = 0
    for query in ({"environment": "production"}, {}) if may_name else ({},):
        headers = {"Authorization": f"Bearer {secret}"}
        answer = world.call(endpoint.method, path, params=query, headers=headers, **body)
        assert answer.status_code in (200, 403, 422), answer.text
        told += answer.status_code == 200
        assert not re.search(f"(?i){OTHER}|40404", answer.text), answer.text
    if names_environment(endpoint):
        assert told, "it answers what is of its own environment"
    if endpoint.name in ("switch_flag", "read_flag_switch"):
        states = world.call(endpoint.method, path, headers=whole, **body).json()["environments"]
        assert [known["environment"] for known in states] == ["production", OTHER], "to the whole workspace"


@every_endpoint
def test_an_ended_token_is_refused_with_the_reason(world: World, endpoint: Endpoint) -> None:
    now = world.core.clock()
    secret = secret_of(world, expires_at=now + timedelta(days=1))
    with world.core.engine.begin() as connection:
        connection.execute(sa.update(api_tokens).values(expires_at=now).where(api_tokens.c.expires_at > now))
    answer = ask(world, endpoint, secret, "production")
    assert (answer.status_code, answer.json()["code"]) == (401, "token_expired"), answer.text
    assert "ended on" in answer.json()["detail"]


def test_a_token_counts_until_its_end_and_cannot_begin_ended(world: World) -> None:
    now = world.core.clock()
    headers = {"Authorization": f"Bearer {secret_of(world, expires_at=now + timedelta(days=1))}"}
    assert world.call("GET", "/environments", headers=headers).status_code == 200
    with pytest.raises(InvalidInput):
        secret_of(world, expires_at=now)


def test_neither_reaches_heaps_deletion_of_users(world: World) -> None:
    limited = secret_of(world, environment_id=world.a.environment)
    with world.core.reading() as connection:
        app_id = list_environments(connection, world.a.workspace_id)[0].app_id
    answer = world.client.post("/api/public/v0/auth_token", auth=(app_id, limited))
    assert answer.status_code == 403

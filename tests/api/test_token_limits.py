"""Tokens that end on a date, and tokens that reach one environment only, over every route there is."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from cairn.api.endpoint import Endpoint
from cairn.db.tables import api_tokens
from cairn.errors import InvalidInput
from cairn.workspace.api_token import create_token
from cairn.workspace.environment import list_environments
from cairn.workspace.permission import Role
from tests.api.conftest import World
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
    if names_environment(
        endpoint
    ):  # an example may fail for what the call before it did, but not for the token
        assert ask(world, endpoint, secret, "production").status_code not in (401, 403)


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

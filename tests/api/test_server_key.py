"""An environment may take flag events only with its server SDK key; what the API switches is what the edge is told."""

from typing import Any

import sqlalchemy as sa

from cairn.db.tables import environments
from cairn.published.directory import Sdk
from cairn.workspace.directory_build import build_directory
from cairn.workspace.environment import reveal_sdk_key, reveal_server_key
from cairn.workspace.permission import Role
from tests.api.conftest import World


def switch(world: World, is_needed: bool) -> Any:
    headers = {"Authorization": f"Bearer {world.a.tokens[Role.ADMIN]}"}
    body = {"needs_server_key": is_needed}
    return world.call("PATCH", f"/environments/{world.a.environment}", headers=headers, json=body).json()


def senders(world: World) -> tuple[Sdk | None, Sdk | None]:
    """What the edge knows of the public and of the server key."""
    with world.core.reading() as connection:
        place = world.a.workspace_id, world.a.environment, world.core.seal
        directory = build_directory(connection)
        server = reveal_server_key(connection, *place)
        return directory.sdk(reveal_sdk_key(connection, *place)), directory.sdk(server) if server else None


def test_the_server_key_is_made_when_it_is_first_needed_and_goes_on_counting(world: World) -> None:
    public, server = senders(world)
    assert public and public.may_write and server is None
    assert switch(world, True)["needs_server_key"] is True
    public, server = senders(world)
    assert public and not public.may_write
    assert server and server.may_write and server.environment_id == public.environment_id
    with world.core.reading() as connection:
        others = connection.execute(
            sa.select(environments.c.needs_server_key).where(environments.c.id != world.a.environment)
        ).scalars()
        assert not any(others)
    assert switch(world, False)["needs_server_key"] is False
    public, server = senders(world)
    assert public and public.may_write and server and server.may_write

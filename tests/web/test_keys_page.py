"""Keys, sources and environments; tokens; the password."""

import re
from collections.abc import Callable

from cairn.db.engine import reading
from cairn.workspace.api_token import authenticate_token
from cairn.workspace.environment import reveal_sdk_key, reveal_server_key
from cairn.workspace.permission import Role
from cairn.workspace.source import list_sources, reveal_write_key
from tests.web.conftest import Browser, World
from tests.web.editing import HERE
from tests.web.reading import Reading
from tests.world import PASSWORD


def test_flag_events_can_be_left_to_the_server_sdk_key(
    world: World, owner: Browser, browse: Callable[..., Browser]
) -> None:
    def server_key() -> str:
        with reading(world.core.engine) as connection:
            return reveal_server_key(
                connection, world.a.workspace_id, world.a.environment.id, world.core.seal
            )

    assert "count with any SDK key" in owner.get(f"{HERE}/keys").text
    page = owner.post(f"{HERE}/keys/server-key", {"on": "1"}).text
    first = server_key()
    assert "count only with the server SDK key" in page and first in Reading(page).copied
    assert server_key() not in browse().enter(world.core, world.a.email(Role.VIEWER)).get(f"{HERE}/keys").text
    page = owner.post(f"{HERE}/keys/rotate-server").text
    assert server_key() != first and server_key() in Reading(page).copied
    editor = browse().enter(world.core, world.a.email(Role.EDITOR))
    assert editor.post(f"{HERE}/keys/server-key", {"on": ""}).status_code == 403
    assert "count with any SDK key" in owner.post(f"{HERE}/keys/server-key", {"on": ""}).text


def test_keys_are_shown_copied_and_changed(
    world: World, owner: Browser, browse: Callable[..., Browser]
) -> None:
    def keys() -> tuple[str, list[str]]:
        with reading(world.core.engine) as connection:
            sources = [
                s
                for s in list_sources(connection, world.a.workspace_id)
                if s.environment_id == world.a.environment.id
            ]
            return (
                reveal_sdk_key(connection, world.a.workspace_id, world.a.environment.id, world.core.seal),
                [reveal_write_key(connection, world.a.workspace_id, s.id, world.core.seal) for s in sources],
            )

    sdk_key, write_keys = keys()
    shown_keys = owner.read(f"{HERE}/keys")
    for secret in (sdk_key, *write_keys, world.a.environment.app_id):
        assert secret in shown_keys.copied
    for client in (
        "heap-api",
        "@segment/analytics-node",
        "segment.analytics",
        "vwo-fme-node-sdk",
        "from vwo import init",
    ):
        assert client in shown_keys.text
    owner.post(f"{HERE}/keys/rotate-sdk")
    assert keys()[0] != sdk_key and keys()[0] in owner.get(f"{HERE}/keys").text
    with reading(world.core.engine) as connection:
        sources = list_sources(connection, world.a.workspace_id)
        source = next(source for source in sources if source.environment_id == world.a.environment.id)
    owner.post(f"{HERE}/keys/sources/{source.id}/rotate")
    assert keys()[1][0] != write_keys[0]
    owner.post(f"{HERE}/keys/sources/{source.id}/toggle", {"on": ""})
    assert "off" in owner.get(f"{HERE}/keys").text
    assert owner.post(f"{HERE}/keys/sources", {"name": "Shop server", "kind": "server"}).status_code == 200
    for name in ("Shop server", "shop SERVER ", "website"):
        double = owner.post(f"{HERE}/keys/sources", {"name": name, "kind": "server"})
        assert double.status_code == 409 and Reading(double.text).mistake("Name of the new source"), (
            "one name is one source"
        )
    wrong = owner.post(f"{HERE}/keys/sources", {"name": "", "kind": "server"})
    assert wrong.status_code == 422 and Reading(wrong.text).mistake("Name of the new source")
    made = owner.post(f"{HERE}/environments", {"environment_name": "Staging", "environment_key": "staging"})
    assert made.url.path == "/env/staging/keys"
    taken = owner.post(f"{HERE}/environments", {"environment_name": "Again", "environment_key": "staging"})
    assert taken.status_code == 409 and Reading(taken.text).mistake("Key")
    heaps = {"environment_name": "Web", "environment_key": "web", "app_id": "2468013579"}
    shown = owner.post(f"{HERE}/environments", heaps).text
    assert "heap.load('2468013579')" in Reading(shown).text and "/k/2468013579.js" in Reading(shown).text
    again = owner.post(f"{HERE}/environments", {**heaps, "environment_key": "web2"})
    assert again.status_code == 409 and Reading(again.text).mistake("Heap's app id")
    viewer = browse().enter(world.core, world.a.email(Role.VIEWER)).get(f"{HERE}/keys").text
    assert keys()[0] not in viewer and not any(key in viewer for key in keys()[1])


def test_a_token_is_shown_once_and_works_until_deleted(world: World, owner: Browser) -> None:
    owner.get(f"{HERE}/tokens")
    page = owner.post(f"{HERE}/tokens", {"name": "deploy", "role": "editor"}).text
    secret = re.search(r"cairn_[\w-]{40,}", page)
    assert secret is not None
    assert secret[0] not in owner.get(f"{HERE}/tokens").text
    with reading(world.core.engine) as connection:
        token = authenticate_token(connection, secret[0])
    assert token is not None and token.role is Role.EDITOR
    owner.post(f"{HERE}/tokens/{token.id}/delete")
    with reading(world.core.engine) as connection:
        assert authenticate_token(connection, secret[0]) is None
    assert owner.post(f"{HERE}/tokens", {"name": "", "role": "editor"}).status_code == 422


def test_a_password_is_changed(world: World, browse: Callable[..., Browser]) -> None:
    admin, elsewhere = (browse().enter(world.core, world.b.email(Role.ADMIN)) for _ in range(2))
    admin.get(f"{HERE}/account")
    path, new = f"{HERE}/account/password", "another good password"
    wrong = admin.post(path, {"current": "not it, surely", "password": new, "again": new})
    assert wrong.status_code == 422 and Reading(wrong.text).mistake("Current password")
    differs = admin.post(path, {"current": PASSWORD, "password": new, "again": new + "!"})
    assert differs.status_code == 422 and Reading(differs.text).mistake("The new one again")
    weak = admin.post(path, {"current": PASSWORD, "password": "short", "again": "short"})
    assert weak.status_code == 422 and Reading(weak.text).mistake("New password")
    assert "is changed" in admin.post(path, {"current": PASSWORD, "password": new, "again": new}).text
    assert elsewhere.get(HERE).url.path == "/sign-in"
    browse().sign_in(world.b.email(Role.ADMIN), new)

"""Workspaces, environments, sources and tokens: what is made, what is secret, and what the edge is told."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cairn.db.routing_tables import connections
from cairn.db.tables import api_tokens, attribute_lists, environments, metadata, sources
from cairn.errors import InvalidInput, Misconfigured, NotFound
from cairn.published.directory import DOCUMENT, Directory, decode, encode
from cairn.workspace.api_token import (
    TOUCH_EVERY,
    TokenNotFound,
    authenticate_token,
    create_token,
    delete_token,
    is_touch_due,
    list_tokens,
    touch_token,
)
from cairn.workspace.directory_build import build_directory, publish_directory
from cairn.workspace.environment import (
    AppIdTaken,
    BadAppId,
    Environment,
    EnvironmentKeyTaken,
    EnvironmentNotFound,
    create_environment,
    get_environment,
    list_environments,
    list_projects,
    reveal_sdk_key,
    rotate_sdk_key,
)
from cairn.workspace.permission import Role
from cairn.workspace.sealed import Seal, open_seal
from cairn.workspace.source import (
    connect_analytics,
    create_source,
    get_source,
    list_connections,
    list_sources,
    reveal_write_key,
    rotate_write_key,
    set_source_enabled,
)
from cairn.workspace.workspace import Workspace, create_workspace
from tests.seams import open_members

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def shop(connection: sa.Connection, seal: Seal) -> Workspace:
    return create_workspace(connection, seal, name="Shop", now=NOW)


@pytest.fixture
def other(connection: sa.Connection, seal: Seal, shop: Workspace) -> Workspace:
    return create_workspace(connection, seal, name="Other", now=NOW)


def test_new_workspace_is_ready_to_use(connection: sa.Connection, seal: Seal, shop: Workspace) -> None:
    assert 100_000 <= shop.account_id <= 9_999_999
    assert [project.name for project in list_projects(connection, shop.id)] == ["Shop"]
    both = list_environments(connection, shop.id)
    assert [each.key for each in both] == ["production", "development"]
    assert all(len(each.app_id) == 10 and each.app_id.isdigit() for each in both)
    made = [(source.environment_id, source.kind) for source in list_sources(connection, shop.id)]
    assert made == [(each.id, kind) for each in both for kind in ("web", "server")]
    connected = {
        connection.source_id: connection.environment_id
        for connection in list_connections(connection, shop.id)
    }
    assert connected == {source.id: source.environment_id for source in list_sources(connection, shop.id)}
    keys = [reveal_sdk_key(connection, shop.id, each.id, seal) for each in both]
    assert all(len(key) == 32 and int(key, 16) >= 0 for key in keys) and len(set(keys)) == 2


def test_no_secret_lies_in_the_database(
    connection: sa.Connection, seal: Seal, shop: Workspace, tmp_path: Path
) -> None:
    _, token = create_token(connection, shop.id, name="CI", now=NOW)
    secrets = [token]
    secrets += [
        reveal_sdk_key(connection, shop.id, environment.id, seal)
        for environment in list_environments(connection, shop.id)
    ]
    secrets += [
        reveal_write_key(connection, shop.id, source.id, seal) for source in list_sources(connection, shop.id)
    ]
    kept = repr([connection.execute(sa.select(table)).all() for table in metadata.tables.values()])
    assert len(secrets) == 7 and not [secret for secret in secrets if secret in kept]
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600


def test_wrong_seal_is_the_operators_to_mend(
    connection: sa.Connection, shop: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    stranger = open_seal(tmp_path / "other")
    with pytest.raises(Misconfigured, match=r"secret\.key"):
        reveal_sdk_key(connection, shop.id, list_environments(connection, shop.id)[0].id, stranger)


@pytest.mark.parametrize("content", [b"", b"short", b"changeme" * 8, b"\xff" * 44])
def test_damaged_key_file_stops_the_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret.key").write_bytes(content)
    with pytest.raises(Misconfigured, match=r"secret\.key"):
        open_seal(tmp_path)
    assert (tmp_path / "secret.key").read_bytes() == content, (
        "never replaced: the data was sealed with the old one"
    )


def test_first_start_makes_one_key_for_everybody(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        seals = list(pool.map(lambda _n: open_seal(tmp_path), range(8)))
    sealed = seals[0].close("secret")
    assert [seal.open(sealed) for seal in seals] == ["secret"] * 8
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


@pytest.mark.parametrize(
    ("key", "name", "error"),
    [
        pytest.param("staging", "Staging", None, id="accepted"),
        pytest.param("production", "Again", EnvironmentKeyTaken, id="taken"),
        pytest.param("Staging", "Staging", InvalidInput, id="capital"),
        pytest.param("1staging", "Staging", InvalidInput, id="starts with a digit"),
        pytest.param("", "Staging", InvalidInput, id="empty"),
        pytest.param("s" * 51, "Staging", InvalidInput, id="long"),
        pytest.param("staging", "a\tb", InvalidInput, id="tab in the name"),
    ],
)
def test_environment_is_added(
    connection: sa.Connection, seal: Seal, shop: Workspace, key: str, name: str, error: Any
) -> None:
    project = list_projects(connection, shop.id)[0]
    if error is None:
        made = create_environment(connection, shop.id, project.id, seal, key=key, name=name, now=NOW)
        assert (
            get_environment(connection, shop.id, key) == made == get_environment(connection, shop.id, made.id)
        )
    else:
        with pytest.raises(error):
            create_environment(connection, shop.id, project.id, seal, key=key, name=name, now=NOW)


@pytest.mark.parametrize(
    ("app_id", "error"),
    [
        pytest.param("1234567", None, id="that of a Heap environment"),
        pytest.param("", None, id="none"),
        pytest.param("TAKEN", AppIdTaken, id="another environment's"),
        pytest.param("0123", BadAppId, id="a leading zero"),
        pytest.param("12345678901234567", BadAppId, id="long"),
        pytest.param("١٢٣", BadAppId, id="digits of another script"),
    ],
)
def test_an_environment_takes_over_an_app_id(
    connection: sa.Connection, seal: Seal, shop: Workspace, app_id: str, error: Any
) -> None:
    project = list_projects(connection, shop.id)[0]
    taken = list_environments(connection, shop.id)[0].app_id

    def make() -> Environment:
        return create_environment(
            connection,
            shop.id,
            project.id,
            seal,
            key="web",
            name="Web",
            now=NOW,
            app_id=app_id.replace("TAKEN", taken),
        )

    if error is None:
        assert make().app_id == (app_id or get_environment(connection, shop.id, "web").app_id)
    else:
        with pytest.raises(error):
            make()


@pytest.mark.parametrize("name", ["", "staging", "999", "9" * 40, "²", "-1", 0, "production\x00"])
def test_unknown_environment(connection: sa.Connection, shop: Workspace, name: str | int) -> None:
    with pytest.raises(EnvironmentNotFound):
        get_environment(connection, shop.id, name)


def test_rotated_keys_change_the_directory(connection: sa.Connection, seal: Seal, shop: Workspace) -> None:
    environment = list_environments(connection, shop.id)[0]
    source = list_sources(connection, shop.id)[0]
    old_sdk = reveal_sdk_key(connection, shop.id, environment.id, seal)
    old_write = reveal_write_key(connection, shop.id, source.id, seal)
    new_sdk = rotate_sdk_key(connection, shop.id, environment.id, seal)
    new_write = rotate_write_key(connection, shop.id, source.id, seal)
    assert reveal_sdk_key(connection, shop.id, environment.id, seal) == new_sdk
    directory = build_directory(connection)
    assert directory.sdk(old_sdk) is None and directory.source(old_write) is None
    sdk, told = directory.sdk(new_sdk), directory.source(new_write)
    assert sdk is not None and (sdk.environment_id, sdk.account_id) == (environment.id, shop.account_id)
    assert told is not None and told.source_id == source.id


def test_directory_tells_what_a_key_stands_for(
    connection: sa.Connection, seal: Seal, shop: Workspace, other: Workspace
) -> None:
    production, development = list_environments(connection, shop.id)
    web, server = list_sources(connection, shop.id)[:2]
    set_source_enabled(connection, shop.id, web.id, is_enabled=False)
    connect_analytics(connection, shop.id, server.id, production.id, is_enabled=False, now=NOW)
    connect_analytics(connection, shop.id, server.id, development.id, is_enabled=True, now=NOW)
    connection.execute(
        sa.insert(attribute_lists).values(
            id="lx",
            environment_id=production.id,
            name="x",
            kind="static",
            folds_case=True,
            created_at=NOW,
            updated_at=NOW,
        )
    )
    directory = build_directory(connection)
    app = directory.app(production.app_id)
    assert app is not None and (app.environment_id, app.workspace_id) == (production.id, shop.id)
    told = directory.source(reveal_write_key(connection, shop.id, web.id, seal))
    assert told is not None and (told.is_enabled, told.heap_environments) == (False, (production.id,))
    told = directory.source(reveal_write_key(connection, shop.id, server.id, seal))
    assert told is not None and told.heap_environments == (development.id,) and told.heap_rules == {}
    connection.execute(
        sa.update(connections)
        .where(connections.c.source_id == server.id, connections.c.environment_id == development.id)
        .values(rules={"consent": ["Analytics"]})
    )
    told = build_directory(connection).source(reveal_write_key(connection, shop.id, server.id, seal))
    assert told is not None and told.heap_rules == {str(development.id): '{"consent": ["Analytics"]}'}
    assert decode(encode(build_directory(connection))) == build_directory(connection)
    assert directory.accounts == {
        str(shop.account_id): production.id,
        str(other.account_id): list_environments(connection, other.id)[0].id,
    }
    assert directory.lists == {"lx": (shop.account_id, True)}
    assert len(directory.apps) == len(directory.sdks) == 4 and len(directory.sources) == 8


def test_published_directory_is_read_back_and_the_same_again_changes_nothing(
    connection: sa.Connection, shop: Workspace, tmp_path: Path
) -> None:
    members = open_members(tmp_path / "members")
    assert decode(members.document(DOCUMENT)) == Directory()
    publish_directory(connection, members)
    changes = members.changes()
    assert decode(members.document(DOCUMENT)) == build_directory(connection)
    publish_directory(connection, members)
    assert members.changes() == changes
    members.close()


def test_connecting_twice_is_one_connection(connection: sa.Connection, shop: Workspace) -> None:
    source = list_sources(connection, shop.id)[0]
    for is_enabled in (True, False, False):
        connect_analytics(
            connection, shop.id, source.id, source.environment_id, is_enabled=is_enabled, now=NOW
        )
    own = [
        connection
        for connection in list_connections(connection, shop.id)
        if connection.source_id == source.id
    ]
    assert [each.is_enabled for each in own] == [False]


def test_source_kind_is_checked(connection: sa.Connection, seal: Seal, shop: Workspace) -> None:
    environment = list_environments(connection, shop.id)[0]
    with pytest.raises(InvalidInput):
        create_source(connection, shop.id, environment.id, seal, name="TV", kind="tv", now=NOW)  # type: ignore[arg-type]


def test_things_of_another_workspace_do_not_exist(
    connection: sa.Connection, seal: Seal, shop: Workspace, other: Workspace
) -> None:
    environment = list_environments(connection, shop.id)[0]
    source = list_sources(connection, shop.id)[0]
    own_source = list_sources(connection, other.id)[0]
    project = list_projects(connection, shop.id)[0]
    token, _ = create_token(connection, shop.id, name="CI", now=NOW)
    before = {name: connection.execute(sa.select(table)).all() for name, table in metadata.tables.items()}
    calls: list[Any] = [
        lambda: get_environment(connection, other.id, environment.id),
        lambda: reveal_sdk_key(connection, other.id, environment.id, seal),
        lambda: rotate_sdk_key(connection, other.id, environment.id, seal),
        lambda: create_environment(connection, other.id, project.id, seal, key="x", name="x", now=NOW),
        lambda: create_source(connection, other.id, environment.id, seal, name="x", kind="web", now=NOW),
        lambda: get_source(connection, other.id, source.id),
        lambda: set_source_enabled(connection, other.id, source.id, is_enabled=False),
        lambda: reveal_write_key(connection, other.id, source.id, seal),
        lambda: rotate_write_key(connection, other.id, source.id, seal),
        lambda: connect_analytics(connection, other.id, source.id, environment.id, is_enabled=False, now=NOW),
        lambda: connect_analytics(
            connection, other.id, own_source.id, environment.id, is_enabled=True, now=NOW
        ),
        lambda: delete_token(connection, other.id, token.id),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            call()
    after = {name: connection.execute(sa.select(table)).all() for name, table in metadata.tables.items()}
    assert after == before
    theirs = {connection.source_id for connection in list_connections(connection, other.id)}
    assert theirs == {source.id for source in list_sources(connection, other.id)}
    assert not theirs & {source.id for source in list_sources(connection, shop.id)}


def test_token_is_shown_once_and_found_by_its_secret(connection: sa.Connection, shop: Workspace) -> None:
    token, secret = create_token(connection, shop.id, name="CI", role=Role.VIEWER, now=NOW)
    assert secret.startswith("cairn_") and len(secret) > 40 and secret.endswith(token.hint)
    assert authenticate_token(connection, secret) == token
    assert token.role is Role.VIEWER and token.last_used_at is None
    for wrong in ("", "cairn_", secret[:-1], secret + " ", secret.upper(), "\ud800"):
        assert authenticate_token(connection, wrong) is None
    stored = connection.execute(sa.select(api_tokens.c.token_hash)).scalar_one()
    assert authenticate_token(connection, stored) is None
    delete_token(connection, shop.id, token.id)
    assert authenticate_token(connection, secret) is None
    with pytest.raises(TokenNotFound):
        delete_token(connection, shop.id, token.id)


def test_use_of_a_token_is_noted_once_a_minute(connection: sa.Connection, shop: Workspace) -> None:
    token, _ = create_token(connection, shop.id, name="CI", now=NOW)
    assert is_touch_due(token, NOW)
    touch_token(connection, token, NOW)
    (token,) = list_tokens(connection, shop.id)
    assert token.last_used_at == NOW
    assert not is_touch_due(token, NOW + TOUCH_EVERY - timedelta(milliseconds=1))
    assert is_touch_due(token, NOW + TOUCH_EVERY)


def test_deleted_environment_takes_its_keys_along(connection: sa.Connection, shop: Workspace) -> None:
    environment = list_environments(connection, shop.id)[0]
    connection.execute(sa.delete(environments).where(environments.c.id == environment.id))
    for table in (sources, connections):
        rows = connection.execute(sa.select(table).where(table.c.environment_id == environment.id)).all()
        assert rows == []

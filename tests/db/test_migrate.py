"""A migrated database equals a fresh one, on every engine there is, and an up-to-date one costs next to nothing."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from cairn.clock import utc_now
from cairn.db.collation import compare_by_bytes
from cairn.db.engine import open_engine
from cairn.db.migrate import MIGRATIONS, DatabaseTooNew, migrate, revisions
from cairn.db.tables import metadata, sources, workspaces
from cairn.workspace.environment import create_environment, get_environment
from cairn.workspace.sealed import open_seal
from tests.databases import empty_database_url


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """An empty database."""
    engine = open_engine(empty_database_url(tmp_path))
    yield engine
    engine.dispose()


def _schema(engine: sa.Engine) -> dict[str, Any]:
    """Everything reflection can see, without the order in which it was made."""
    seen = sa.inspect(engine)
    return {
        table: {
            "columns": [
                (column["name"], str(column["type"]), column["nullable"])
                for column in seen.get_columns(table)
            ],
            "key": seen.get_pk_constraint(table),
            "foreign": sorted(map(repr, seen.get_foreign_keys(table))),
            "unique": sorted(map(repr, seen.get_unique_constraints(table))),
            "indexes": sorted(_index(index) for index in seen.get_indexes(table)),
        }
        for table in seen.get_table_names()
        if table not in ("alembic_version", "sqlite_sequence")
    }


def _index(index: Any) -> str:
    """With its condition in words: as an object it would differ from any other."""
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
    return repr({**index, "dialect_options": options})


def test_migrated_schema_equals_fresh_schema(engine: sa.Engine, tmp_path: Path) -> None:
    metadata.create_all(engine)
    with engine.begin() as connection:
        compare_by_bytes(connection)
    fresh = _schema(engine)
    migrated = open_engine(empty_database_url(tmp_path, "migrated"))
    migrate(migrated)
    assert _schema(migrated) == fresh
    assert set(fresh) == set(metadata.tables)
    migrated.dispose()


def test_second_migration_has_nothing_to_do(engine: sa.Engine) -> None:
    assert migrate(engine) is True
    assert migrate(engine) is False


def test_deleted_ids_never_come_back(engine: sa.Engine) -> None:
    migrate(engine)
    row = {"name": "a", "account_id": 1, "created_at": utc_now(), "is_demo": False}
    with engine.begin() as connection:
        first = connection.execute(
            sa.insert(workspaces).values(**row).returning(workspaces.c.id)
        ).scalar_one()
        connection.execute(sa.delete(workspaces))
        second = connection.execute(
            sa.insert(workspaces).values(**row).returning(workspaces.c.id)
        ).scalar_one()
    assert second > first


def test_several_processes_may_start_at_once(engine: sa.Engine) -> None:
    start = threading.Barrier(4)
    results: list[object] = []

    def run() -> None:
        start.wait()
        try:
            results.append(migrate(engine))
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(isinstance(result, bool) for result in results), results
    assert set(metadata.tables) <= set(sa.inspect(engine).get_table_names())


def test_database_of_a_newer_cairn_is_refused(engine: sa.Engine) -> None:
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '29990101_future'"))
    with pytest.raises(DatabaseTooNew, match="29990101_future"):
        migrate(engine)


def _upgrade(engine: sa.Engine, revision: str) -> None:
    """To a revision that is not the newest."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def test_environments_that_exist_keep_their_lists_in_settings_and_new_ones_do_not(
    engine: sa.Engine, tmp_path: Path
) -> None:
    """No flag that works may change by an upgrade."""
    names = revisions()
    _upgrade(engine, names[names.index("20261129_inlined_lists") - 1])
    at = {"created_at": 1}
    with engine.begin() as connection:
        for table, row in (
            ("workspaces", {"name": "w", "account_id": 100_000, "is_demo": False}),
            ("projects", {"workspace_id": 1, "name": "p"}),
            (
                "environments",
                {
                    "workspace_id": 1,
                    "project_id": 1,
                    "key": "old",
                    "name": "old",
                    "app_id": "1",
                    "sdk_key_hash": "1",
                    "sdk_key_sealed": b"",
                },
            ),
        ):
            named = sa.table(table, *map(sa.column, [*row, *at]))
            connection.execute(sa.insert(named).values(**row, **at))
    migrate(engine)
    with engine.begin() as connection:
        seal = open_seal(tmp_path)
        made = create_environment(connection, 1, 1, seal, key="new", name="new", now=utc_now())
        assert [made.inlines_lists, get_environment(connection, 1, "old").inlines_lists] == [False, True]


def test_sources_of_one_name_get_a_number_and_keep_their_keys(engine: sa.Engine) -> None:
    names = revisions()
    _upgrade(engine, names[names.index("20261130_source_names") - 1])
    at, long = {"created_at": 1}, "n" * 100
    kept = ["Website", "Server", "website", "Website 2", "Website", long, long]
    rows = [
        ("workspaces", {"name": "w", "account_id": 100_000, "is_demo": False}),
        ("projects", {"workspace_id": 1, "name": "p", "time_zone": "UTC"}),
        *(
            (
                "environments",
                {
                    "workspace_id": 1,
                    "project_id": 1,
                    "key": key,
                    "name": key,
                    "app_id": key,
                    "sdk_key_hash": key,
                    "sdk_key_sealed": b"",
                },
            )
            for key in ("1", "2")
        ),
        *(
            (
                "sources",
                {
                    "environment_id": environment_id,
                    "name": name,
                    "kind": "web",
                    "is_enabled": True,
                    "write_key_hash": f"{environment_id}.{place}",
                    "write_key_sealed": b"",
                },
            )
            for environment_id, known in ((1, kept), (2, ["Website"]))
            for place, name in enumerate(known)
        ),
    ]
    with engine.begin() as connection:
        for table, row in rows:
            named = sa.table(table, *map(sa.column, [*row, *at]))
            connection.execute(sa.insert(named).values(**row, **at))
    migrate(engine)
    with engine.begin() as connection:
        query = sa.select(sources.c.write_key_hash, sources.c.name).order_by(sources.c.id)
        found = [tuple(row) for row in connection.execute(query)]
    after = ["Website", "Server", "website 3", "Website 2", "Website 4", long, "n" * 98 + " 2"]
    assert found == [*((f"1.{place}", name) for place, name in enumerate(after)), ("2.0", "Website")]


def test_revision_is_the_file_name() -> None:
    scripts = ScriptDirectory(str(MIGRATIONS))
    assert [script.revision for script in scripts.walk_revisions()][::-1] == revisions()


def test_opening_an_up_to_date_database_does_not_load_alembic(tmp_path: Path) -> None:
    url = empty_database_url(tmp_path)
    engine = open_engine(url)
    migrate(engine)
    engine.dispose()
    program = (
        "import sys\n"
        "from cairn.db.engine import open_engine\n"
        "from cairn.db.migrate import migrate\n"
        f"assert migrate(open_engine({url!r})) is False\n"
        "assert 'alembic' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

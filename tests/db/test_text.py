"""Texts are kept whole and compared by their bytes on every engine, whatever the language of the server."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from cairn.clock import utc_now
from cairn.db.engine import open_engine, reading
from cairn.db.migrate import migrate
from cairn.db.tables import workspaces
from cairn.errors import Misconfigured
from tests.databases import empty_database_url, only_on_postgresql, open_test_metadata
from tests.postgresql import EMPTY

# By the rules of English "a-b" stands beside "ab", "b" before "C" and "ä" before "b".
NAMES = ["ab", "a-b", "b", "C", "ä", "_", "日本", "\U0001f600", "B"]


def test_lists_by_name_have_the_same_order_on_every_engine(tmp_path: Path) -> None:
    engine = open_test_metadata(tmp_path)
    rows = [
        {"name": name, "account_id": number, "created_at": utc_now(), "is_demo": False}
        for number, name in enumerate(NAMES)
    ]
    with engine.begin() as connection:
        connection.execute(sa.insert(workspaces), rows)
    column = workspaces.c.name
    with reading(engine) as connection:
        assert list(connection.execute(sa.select(column).order_by(column)).scalars()) == sorted(NAMES)
        after = connection.execute(sa.select(column).where(column > "b")).scalars()
        assert set(after) == {name for name in NAMES if name > "b"}
    engine.dispose()


@only_on_postgresql
def test_every_text_of_the_database_is_compared_by_bytes(tmp_path: Path) -> None:
    engine = open_test_metadata(tmp_path)
    query = (
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' "
        "AND collation_name IS DISTINCT FROM 'C' AND data_type IN ('text', 'character varying', 'character')"
    )
    with reading(engine) as connection:
        assert connection.exec_driver_sql(query).all() == []
    engine.dispose()


@only_on_postgresql
def test_a_database_that_cannot_keep_every_text_is_refused(tmp_path: Path) -> None:
    latin = f"{EMPTY} ENCODING 'LATIN1' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
    engine = open_engine(empty_database_url(tmp_path, template=latin))
    with pytest.raises(Misconfigured, match=r"LATIN1.*UTF8") as refused:
        migrate(engine)
    assert refused.value.field == "database_url"
    engine.dispose()

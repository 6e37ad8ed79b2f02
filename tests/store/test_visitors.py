"""The engine names identities as flag SDKs and `ids.visitor_id` do."""

from itertools import count
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cairn.ids import identified_user_id, visitor_id
from cairn.store.clickhouse import ClickHouseStore
from cairn.store.question import ad_hoc
from cairn.store.schema import IDENTITY_KEY
from cairn.store.store import IDENTITY, PropertyChange, VisitorRow
from cairn.store.visitors import name_identities
from tests.store.engine import engine_of

environments = count(900_000)
ODD = ["a", "\0", "NUL \0 within", "é", "\ufffd", "名前", "😀", "\U0010ffff", "'; DROP", "\\", "x" * 100_000]


def store_identities(store: ClickHouseStore, environment_id: int, names: list[str]) -> list[VisitorRow]:
    """Returns what is expected of them."""
    users = {name: identified_user_id(environment_id, name) for name in names}
    store.insert_properties(
        [PropertyChange(environment_id, user, IDENTITY_KEY, name, 0, 1) for name, user in users.items()]
    )
    account_id = environment_id % 7 + 1
    return [
        VisitorRow(environment_id, visitor_id(name, account_id), user, IDENTITY)
        for name, user in users.items()
    ]


def stored(store: ClickHouseStore, expected: list[VisitorRow]) -> list[VisitorRow]:
    return store.visitors([(row.environment_id, row.visitor_id) for row in expected])


def by_user(rows: list[VisitorRow]) -> list[VisitorRow]:
    return sorted(rows, key=lambda row: row.user_id)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(), min_size=1, max_size=50))
@example(ODD)
def test_engine_and_python_give_an_identity_the_same_visitor(
    store: ClickHouseStore, names: list[str]
) -> None:
    environment_id = next(environments)
    account_id = environment_id % 7 + 1
    expected = store_identities(store, environment_id, names)
    asked = [row.visitor_id for row in expected]
    assert by_user(store.identities_behind(environment_id, account_id, asked)) == by_user(expected)
    assert store.identities_behind(environment_id, account_id, []) == []
    store.name_identities(environment_id, account_id)
    assert by_user(stored(store, expected)) == by_user(expected)
    assert store.identities_behind(environment_id, account_id, asked) == []  # they have their rows


def test_identities_of_many_pages_are_all_named_once(store: ClickHouseStore, store_folder: Path) -> None:
    environment_id = next(environments)
    expected = store_identities(store, environment_id, [f"user {number}" for number in range(100)])
    with engine_of(store_folder) as engine:
        for _ in range(2):
            name_identities(engine.rows, engine.run, environment_id, environment_id % 7 + 1, page=7)
            assert by_user(stored(store, expected)) == by_user(expected)
    sql = "SELECT count() FROM cairn.visitors WHERE environment_id = {environment:UInt32}"
    assert store.query(ad_hoc(environment_id, sql)) == [(100,)]


def test_who_waits_makes_an_environment_be_followed(store: ClickHouseStore) -> None:
    environment_id = next(environments)
    [ann] = store_identities(store, environment_id, ["ann"])
    assert environment_id not in store.waiting_environments()
    store.insert_visitors([VisitorRow(environment_id, ann.visitor_id, 0, 0)])
    assert environment_id in store.waiting_environments()
    assert store.identities_behind(environment_id, environment_id % 7 + 1, []) == [ann]

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cairn.db.tables import merges as merges_table
from cairn.db.tables import user_map
from cairn.identity.merges import (
    SERVER_IDENTIFY,
    Merge,
    MergeRequest,
    canonical,
    history,
    merge,
    merge_all,
    raw_ids,
    unmerge,
)
from cairn.ids import identified_user_id
from cairn.outcomes import Reason
from tests.databases import open_test_metadata

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
ANN, BOB = identified_user_id(1, "ann"), identified_user_id(1, "bob")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sa.Connection]:
    engine = open_test_metadata(tmp_path)
    with engine.begin() as opened:
        yield opened
    engine.dispose()


def outcome(answer: Merge | Reason) -> str:
    return str(answer) if isinstance(answer, Reason) else ("new" if answer.is_new else "same")


@pytest.mark.parametrize(
    ("pairs", "expected", "mapped"),
    [
        pytest.param([(7, "ann")], ["new"], {7: ANN}, id="first identity"),
        pytest.param([(7, "ann"), (7, "ann")], ["new", "same"], {7: ANN}, id="the same again"),
        pytest.param(
            [(7, "ann"), (7, "bob")], ["new", "identity_taken"], {7: ANN}, id="a later different one"
        ),
        pytest.param(
            [(7, "ann"), (7, "Ann")], ["new", "identity_taken"], {7: ANN}, id="identities have a case"
        ),
        pytest.param([(7, "ann"), (8, "ann")], ["new", "new"], {7: ANN, 8: ANN}, id="two devices"),
        pytest.param([(ANN, "ann")], ["same"], {}, id="the identity's own id"),
        pytest.param(
            [(7, "ann"), (ANN, "bob")],
            ["new", "identity_taken"],
            {7: ANN},
            id="another identity's id, in use",
        ),
        pytest.param(
            [(ANN, "bob"), (7, "ann")],
            ["new", "new"],
            {ANN: BOB, 7: BOB},
            id="no chain: both lead to the end",
        ),
        pytest.param([(ANN, "bob"), (BOB, "ann")], ["new", "same"], {ANN: BOB}, id="no circle"),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_merge(
    connection: sa.Connection,
    pairs: list[tuple[int, str]],
    expected: list[str],
    mapped: dict[int, int],
    together: bool,
) -> None:
    requests = [MergeRequest(1, user_id, identity, "test", NOW) for user_id, identity in pairs]
    if together:
        answers = merge_all(connection, requests)
    else:
        answers = [merge(connection, 1, user_id, identity, "test", NOW) for user_id, identity in pairs]
    assert [outcome(answer) for answer in answers] == expected
    assert canonical(connection, 1, [user_id for user_id, _ in pairs]) == mapped
    assert canonical(connection, 2, [user_id for user_id, _ in pairs]) == {}


def test_the_server_identify_takes_ten_ids_of_an_identity_in_a_month(connection: sa.Connection) -> None:
    def ask(user_id: int, now: datetime, cause: str = SERVER_IDENTIFY) -> str:
        return outcome(merge(connection, 1, user_id, "ann", cause, now))

    assert [ask(n, NOW) for n in range(1, 12)] == ["new"] * 10 + ["too_many_users_for_identity"]
    assert ask(1, NOW) == "same"
    assert ask(20, NOW, "a browser") == "new"
    assert ask(11, NOW) == "too_many_users_for_identity"
    assert ask(11, NOW + timedelta(days=31)) == "new"
    assert ask(12, datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC)) == "too_many_users_for_identity"


def test_raw_ids_names_everything_that_belongs_to_a_user(connection: sa.Connection) -> None:
    for user_id in (9, 7):
        merge(connection, 1, user_id, "ann", "test", NOW)
    assert raw_ids(connection, 1, [ANN, BOB]) == {ANN: [ANN, 7, 9], BOB: [BOB]}


def test_unmerge_is_undone_by_the_next_identify_only(connection: sa.Connection) -> None:
    first = merge(connection, 1, 7, "ann", "test", NOW)
    change = unmerge(connection, 1, 7, "a member", NOW)
    assert isinstance(first, Merge) and change is not None
    assert (change.user_id, change.canonical_id) == (7, 7)
    assert change.version > first.version
    assert canonical(connection, 1, [7]) == {}
    assert unmerge(connection, 1, 7, "a member", NOW) is None
    second = merge(connection, 1, 7, "bob", "test", NOW)
    assert isinstance(second, Merge) and second.version > change.version
    assert [(item.kind, item.identity, item.cause) for item in history(connection, 1, [7])] == [
        ("merge", "ann", "test"),
        ("unmerge", "ann", "a member"),
        ("merge", "bob", "test"),
    ]
    assert len(history(connection, 1, [ANN])) == 2


def test_thousands_at_once(connection: sa.Connection) -> None:
    requests = [MergeRequest(1, n, f"person {n % 900}", "test", NOW) for n in range(1, 12_001)]
    assert {outcome(answer) for answer in merge_all(connection, requests)} == {"new"}
    again = merge_all(connection, requests)
    assert {outcome(answer) for answer in again} == {"same"}
    versions = [answer.version for answer in again if isinstance(answer, Merge)]
    assert sorted(set(versions)) == list(range(1, 12_001))


users = st.integers(1, 6)
identities = st.sampled_from(["ann", "bob", "cleo"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(users, identities), st.randoms(use_true_random=False))
def test_without_refusals_order_and_repetition_do_not_matter(
    connection: sa.Connection, pairs: dict[int, str], random: Random
) -> None:
    clear(connection)
    requests = [MergeRequest(1, user_id, identity, "test", NOW) for user_id, identity in pairs.items()] * 2
    random.shuffle(requests)
    merge_all(connection, requests)
    expected = {user_id: identified_user_id(1, identity) for user_id, identity in pairs.items()}
    assert canonical(connection, 1, range(1, 7)) == expected
    assert len(history(connection, 1, range(1, 7))) == len(pairs)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["merge", "unmerge"]), users, identities), max_size=20))
def test_the_history_tells_the_map(connection: sa.Connection, calls: list[tuple[str, int, str]]) -> None:
    clear(connection)
    model: dict[int, str] = {}
    for kind, user_id, identity in calls:
        if kind == "unmerge":
            assert (unmerge(connection, 1, user_id, "test", NOW) is None) == (
                model.pop(user_id, None) is None
            )
            continue
        answer = merge(connection, 1, user_id, identity, "test", NOW)
        taken = model.setdefault(user_id, identity) != identity
        assert (answer is Reason.IDENTITY_TAKEN) == taken
    expected = {user_id: identified_user_id(1, identity) for user_id, identity in model.items()}
    assert canonical(connection, 1, range(1, 7)) == expected
    replayed: dict[int, int] = {}
    for item in history(connection, 1, range(1, 7)):
        if item.kind == "merge":
            replayed[item.user_id] = item.canonical_id
        else:
            del replayed[item.user_id]
    assert replayed == expected


def clear(connection: sa.Connection) -> None:
    connection.execute(sa.delete(user_map))
    connection.execute(sa.delete(merges_table))

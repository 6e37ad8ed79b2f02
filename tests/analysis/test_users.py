"""Users are found and told after merges, page by page, and only in their own environment."""

import pytest

from cairn.analysis import users
from cairn.analysis.timeline import timeline
from cairn.analysis.users import PAGE
from cairn.event import Kind
from cairn.identity.merges import unmerge
from cairn.query.cursor import Cursor, read_cursor
from cairn.query.newest import identities
from cairn.store.schema import IDENTITY_KEY
from tests.analysis.conftest import ELSEWHERE, HERE, NOW, Past


def test_a_merged_user_is_one_user_with_everything_of_all_her_ids(past: Past) -> None:
    ann = past.identified("ann@shop.test", 11, 12)
    past.set(11, "plan", "free", ago=50)
    past.set(ann, "plan", "premium", ago=40)
    past.set(12, "plan", "pro", ago=30)  # the newest wins, whichever id it came by
    past.did(11, "Viewed", ago=20)
    past.did(12, "Bought", ago=10)
    past.did(ann, "Returned", ago=5)
    with past.reading() as connection:
        for asked in (ann, 11, 12):
            user = users.one_user(past.asker(HERE), connection, asked, now=NOW)
            assert user is not None
            assert (user.user_id, user.identity, user.events) == (ann, "ann@shop.test", 3)
            assert user.properties["plan"].value == "pro"
        names = [event.name for event in timeline(past.asker(HERE), connection, ann).events]
        assert names == ["Returned", "Bought", "Viewed"]
        page = users.list_users(past.asker(HERE), connection, now=NOW)
        assert [(user.user_id, user.events) for user in page.users] == [(ann, 3)]
    with past.engine.begin() as connection:
        change = unmerge(connection, HERE, 12, "test", NOW)
    assert change is not None
    past.store.insert_user_map([change])
    with past.reading() as connection:
        assert users.canonical_of(connection, HERE, 12) == 12
        alone = users.one_user(past.asker(HERE), connection, 12, now=NOW)
        left = users.one_user(past.asker(HERE), connection, ann, now=NOW)
    assert alone is not None and left is not None
    assert (alone.identity, alone.events, alone.properties["plan"].value) == ("", 1, "pro")
    assert (left.events, left.properties["plan"].value) == (2, "premium")


def test_another_environment_sees_nothing_of_it(past: Past) -> None:
    ann = past.identified("ann@shop.test", 11)
    past.did(11)
    with past.reading() as connection:
        assert users.list_users(past.asker(ELSEWHERE), connection, now=NOW).users == []
        assert users.search_users(past.asker(ELSEWHERE), connection, "ann", now=NOW).users == []
        assert users.one_user(past.asker(ELSEWHERE), connection, ann, now=NOW) is None
        assert users.one_user(past.asker(ELSEWHERE), connection, 11, now=NOW) is None
        assert timeline(past.asker(ELSEWHERE), connection, 11).events == []
        assert identities(past.store, ELSEWHERE, [ann, 11]) == {}
        assert users.user_by_identity(past.asker(ELSEWHERE), connection, "ann@shop.test", now=NOW) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("ann@shop.test", ["ann@shop.test"], id="whole identity"),
        pytest.param("ANN", ["ann@shop.test", "joanna@shop.test"], id="part, any case"),
        pytest.param("  ann@ ", ["ann@shop.test"], id="blanks around"),
        pytest.param("Hollister", ["joanna@shop.test"], id="name"),
        pytest.param("billing@", ["joanna@shop.test"], id="e-mail as Segment sends it"),
        pytest.param("premium", [], id="other properties are not searched"),
        pytest.param("%", [], id="no wildcard"),
        pytest.param("' OR 1 = 1 --", [], id="no SQL"),
        pytest.param("42", ["ann@shop.test"], id="a merged raw id"),
        pytest.param("99999999999999999999", [], id="no user id"),
    ],
)
def test_search(past: Past, text: str, found: list[str]) -> None:
    past.identified("ann@shop.test", 42)
    joanna = past.identified("joanna@shop.test")
    past.set(joanna, "name", "Joanna Hollister")
    past.set(joanna, "_email", "billing@elsewhere.test")
    past.set(joanna, "plan", "premium")
    past.did(42)
    with past.reading() as connection:
        page = users.search_users(past.asker(HERE), connection, text, now=NOW)
    assert sorted(user.identity for user in page.users) == found
    assert page.next is None


def test_pages_of_users_meet_without_gap_or_repeat(past: Past) -> None:
    for number in range(1, 2 * PAGE + 4):
        past.did(number, ago=number // 3)  # several seen in the same millisecond
    past.did(5_000, ago=60 * 24 * 90)  # long ago: only a wider look finds it
    past.did(6_000, "identify", ago=1, kind=Kind.IDENTIFY)  # known, but did nothing: last
    seen: list[int] = []
    after: Cursor | None = None
    with past.reading() as connection:
        for _ in range(4):
            page = users.list_users(past.asker(HERE), connection, now=NOW, after=after)
            seen += [user.user_id for user in page.users]
            if page.next is None:
                break
            after = read_cursor(str(page.next))
    assert len(seen) == len(set(seen)) == 2 * PAGE + 5
    assert seen[-2:] == [5_000, 6_000]
    assert [number // 3 for number in seen[:-2]] == sorted(number // 3 for number in seen[:-2])


def test_pages_of_a_search_meet_without_gap_or_repeat(past: Past) -> None:
    for number in range(1, PAGE + 4):
        past.set(number, "name", "Ann")
    with past.reading() as connection:
        first = users.search_users(past.asker(HERE), connection, "ann", now=NOW)
        assert first.next is not None
        second = users.search_users(past.asker(HERE), connection, "ann", now=NOW, after_id=first.next.id)
    assert [user.user_id for user in first.users + second.users] == list(range(1, PAGE + 4))
    assert second.next is None


def test_pages_of_a_timeline_meet_without_gap_or_repeat(past: Past) -> None:
    ids = [past.did(1, f"Event {number}", ago=number // 4) for number in range(PAGE + 7)]
    with past.reading() as connection:
        first = timeline(past.asker(HERE), connection, 1)
        assert first.next is not None
        second = timeline(past.asker(HERE), connection, 1, after=read_cursor(str(first.next)))
    assert sorted(event.event_id for event in first.events + second.events) == sorted(ids)
    assert second.next is None


@pytest.mark.parametrize("text", ["", "x", "1", "1-", "-1", "1-x", "1.5-2", "9" * 40 + "-1"])
def test_a_cursor_that_was_cut_is_none(text: str) -> None:
    assert read_cursor(text) is None


def test_a_user_known_only_by_properties_is_found(past: Past) -> None:
    ben = past.identified("ben@shop.test")
    with past.reading() as connection:
        user = users.user_by_identity(past.asker(HERE), connection, "ben@shop.test", now=NOW)
        assert users.one_user(past.asker(HERE), connection, 404, now=NOW) is None
    assert user is not None
    assert (user.user_id, user.events, user.last_seen_ms) == (ben, 0, 0)
    assert set(user.properties) == {IDENTITY_KEY}

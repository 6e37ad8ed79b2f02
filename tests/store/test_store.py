"""What every event store promises. Runs over each implementation."""

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from cairn.clock import to_ms
from cairn.event import FACTS, Draft, Element, Refused
from cairn.outcomes import Reason
from cairn.query.canonical import CANONICAL
from cairn.store.arrow_tables import element_id
from cairn.store.erase import UserErasure
from cairn.store.errors import BadPattern, QuestionTooExpensive, RowsNotStorable, StoreFault
from cairn.store.question import ad_hoc
from cairn.store.statement import Limits, UnboundQuestion
from cairn.store.store import AccountChange, MapChange, PropertyChange, SeenElement, Store, VisitorRow

NOW = datetime.now(UTC).replace(microsecond=0)
NOW_MS = to_ms(NOW)


def event(environment_id: int, **fields: Any) -> Draft:
    common = {
        "environment_id": environment_id,
        "kind": "custom",
        "name": "Paid",
        "time_ms": NOW_MS,
        "received_ms": NOW_MS,
        "user_id": 1,
        "event_id": random.getrandbits(64),
    }
    return Draft(**{**common, **fields})


def ask(store: Store, environment_id: int, columns: str, table: str = "events", rest: str = "") -> list[Any]:
    sql = f"SELECT {columns} FROM cairn.{table} WHERE environment_id = {{environment:UInt32}} {rest}"
    return [row[0] if len(row) == 1 else tuple(row) for row in store.query(ad_hoc(environment_id, sql))]


def test_every_field_comes_back(store: Store, environment_id: int) -> None:
    one = event(
        environment_id,
        event_id=2**64 - 1,
        user_id=2**53 - 1,
        session_id=5,
        pageview_id=6,
        name="ünï 🪨 \0 '",
        source="shop",
        library="x",
        properties={"a": 1, "b": "é", "": "", "c": True},
        log_position=2**63,
        time_ms=NOW_MS + 7,
        received_ms=NOW_MS + 9,
    )
    store.insert_events([one])
    columns = "event_id, user_id, session_id, pageview_id, name, source, library, properties, log_position"
    properties = {"a": "1", "b": "é", "": "", "c": "true"}
    assert ask(store, environment_id, f"{columns}, time, received_at") == [
        (
            2**64 - 1,
            2**53 - 1,
            5,
            6,
            "ünï 🪨 \0 '",
            "shop",
            "x",
            properties,
            2**63,
            NOW + timedelta(milliseconds=7),
            NOW + timedelta(milliseconds=9),
        )
    ]


BUTTON = Element(
    hierarchy="@div;#root;|@button;.btn;|",
    tag="button",
    dom_id="pay",
    classes="btn primary",
    text="Páy",
    href="/pay",
    label="Pay now",
    attributes={"data-b": "2", "data-a": "1"},
)


class TestCaptured:
    def test_every_fact_comes_back_in_its_own_column(self, store: Store, environment_id: int) -> None:
        facts = {name: f"{name} é" for name in FACTS}
        partly = {"path": "/cart", "no such fact": "x"}
        store.insert_events(
            [
                event(environment_id, facts=facts, element=BUTTON, name="all"),
                event(environment_id, facts=partly, name="some"),
                event(environment_id, name="none"),
            ]
        )
        store.insert_events([event(environment_id, name="alone")])
        rest = "ORDER BY name"
        expected = {
            "all": (element_id(BUTTON), *facts.values()),
            "alone": (0, *("" for _ in FACTS)),
            "none": (0, *("" for _ in FACTS)),
            "some": (0, *(partly.get(name, "") for name in FACTS)),
        }
        found = ask(store, environment_id, f"name, element, {', '.join(FACTS)}", rest=rest)
        assert {row[0]: row[1:] for row in found} == expected

    def test_an_element_keeps_the_time_it_was_first_seen(self, store: Store, environment_id: int) -> None:
        number = element_id(BUTTON)
        store.insert_elements([])
        for seen_ms in (NOW_MS, NOW_MS + 5):
            store.insert_elements(
                [
                    SeenElement(environment_id, number, BUTTON, seen_ms),
                    SeenElement(environment_id + 1, number, BUTTON, seen_ms),
                ]
            )
        columns = "element_id, hierarchy, tag, dom_id, classes, text, href, label, attributes, first_seen"
        expected = (
            number,
            BUTTON.hierarchy,
            "button",
            "pay",
            "btn primary",
            "Páy",
            "/pay",
            "Pay now",
            {"data-b": "2", "data-a": "1"},
            NOW,
        )
        for one in (environment_id, environment_id + 1):
            assert ask(store, one, columns, "elements") == [expected]

    def test_one_that_cannot_be_stored(self, store: Store, environment_id: int) -> None:
        with pytest.raises(RowsNotStorable):
            store.insert_elements([SeenElement(environment_id, 1, Element(text="\ud800"), NOW_MS)])
        with pytest.raises(RowsNotStorable):
            store.insert_events([event(environment_id, facts={"path": "\ud800"})])
        assert ask(store, environment_id, "element_id", "elements") == []

    @pytest.mark.parametrize(
        ("other", "is_same"),
        [
            (msgspec.structs.replace(BUTTON, attributes={"data-a": "1", "data-b": "2"}), True),
            (msgspec.structs.replace(BUTTON, text="Pay"), False),
            (msgspec.structs.replace(BUTTON, text="", label="Páy"), False),
        ],
        ids=["attributes in another order", "another text", "the text elsewhere"],
    )
    def test_equal_shapes_have_equal_numbers(self, other: Element, is_same: bool) -> None:
        assert (element_id(other) == element_id(BUTTON)) is is_same

    def test_the_number_of_a_shape_never_changes(self) -> None:
        assert element_id(BUTTON) == 15658514543369407712


class TestQuestions:
    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT count() FROM cairn.events",
            "SELECT count() FROM cairn.events WHERE environment_id = 1",
            "INSERT INTO cairn.events (environment_id) VALUES ({environment:UInt32})",
            "DROP TABLE cairn.events -- {environment:UInt32}",
            "SET readonly = 0 -- {environment:UInt32}",
            "SELECT {environment:UInt32}; SELECT 2",
        ],
    )
    def test_unbound_ones_are_refused(self, store: Store, sql: str) -> None:
        with pytest.raises(UnboundQuestion):
            store.query(ad_hoc(1, sql))

    def test_the_environment_cannot_be_chosen_by_a_parameter(self, store: Store) -> None:
        with pytest.raises(UnboundQuestion):
            store.query(ad_hoc(1, "SELECT {environment:UInt32}", {"environment": 2}))

    @pytest.mark.parametrize(
        "sql",
        [
            "WITH 1 AS x INSERT INTO cairn.versions SELECT {environment:UInt32}, '', now()",
            "SELECT * FROM cairn.nothing WHERE environment_id = {environment:UInt32}",
        ],
    )
    def test_nothing_but_reading_is_possible(self, store: Store, sql: str) -> None:
        with pytest.raises(StoreFault):
            store.query(ad_hoc(1, sql))

    @pytest.mark.parametrize(
        "text", ["it's", "a\\b", "') OR 1=1 --", "🪨", "", "{environment:UInt32}", "a\tb\nc", "\\N"]
    )
    def test_parameters_are_values(self, store: Store, environment_id: int, text: str) -> None:
        sql = "SELECT {text:String}, {texts:Array(String)}, {environment:UInt32}"
        assert store.query(ad_hoc(environment_id, sql, {"text": text, "texts": [text, "x"]})) == [
            (text, [text, "x"], environment_id)
        ]

    def test_the_time_limit(self, store: Store) -> None:
        sql = "SELECT count() FROM numbers(100000000000) WHERE number % 7 = {environment:UInt32}"
        with pytest.raises(QuestionTooExpensive):
            store.query(ad_hoc(1, sql), Limits(timeout_s=0.2))
        assert store.query(ad_hoc(1, "SELECT {environment:UInt32}")) == [(1,)]

    def test_the_memory_limit(self, store: Store) -> None:
        sql = "SELECT length(groupArray(toString(number))) FROM numbers(50000000) WHERE 1 = {environment:UInt32}"
        with pytest.raises(QuestionTooExpensive):
            store.query(ad_hoc(1, sql))
        assert store.query(ad_hoc(1, "SELECT {environment:UInt32}")) == [(1,)]

    def test_the_size_limit_of_an_answer(self, store: Store) -> None:
        sql = "SELECT repeat('x', 1000) FROM numbers(10000000) WHERE 1 = {environment:UInt32}"
        with pytest.raises(QuestionTooExpensive):
            store.query(ad_hoc(1, sql))

    def test_a_failed_question_leaves_nothing_to_the_next_one(self, store: Store) -> None:
        failing = "SELECT number, throwIf(number = 500000), {environment:UInt32} FROM numbers(1000000)"
        for _ in range(3):
            with pytest.raises(StoreFault):
                store.query(ad_hoc(1, failing))
            assert store.query(ad_hoc(2, "SELECT {environment:UInt32}")) == [(2,)]

    def test_a_bad_pattern_is_the_callers_fault(self, store: Store) -> None:
        with pytest.raises(BadPattern):
            store.query(ad_hoc(1, "SELECT match('a', {p:String}), {environment:UInt32}", {"p": "("}))

    def test_many_threads(self, store: Store, environment_id: int) -> None:
        wrong: list[object] = []

        def work(number: int) -> None:
            try:
                for place in range(3):
                    store.insert_events([event(environment_id, name=f"t{number}", user_id=place + 1)])
                    found = ask(store, environment_id, "count()", rest=f"AND name = 't{number}'")
                    if found != [place + 1]:
                        wrong.append((number, place, found))
            except Exception as error:
                wrong.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert ask(store, environment_id, "count()") == [24]


class TestState:
    """What the store knows of the data without a question."""

    @pytest.mark.parametrize(
        "insert",
        [
            pytest.param(lambda store, here: store.insert_events([event(here)]), id="events"),
            pytest.param(
                lambda store, here: store.insert_properties(
                    [PropertyChange(here, 1, "plan", "pro", NOW_MS, 1)]
                ),
                id="user properties",
            ),
            pytest.param(
                lambda store, here: store.insert_account_properties(
                    [AccountChange(here, "acme", "plan", "pro", NOW_MS, 1)]
                ),
                id="account properties",
            ),
            pytest.param(
                lambda store, here: store.insert_user_map([MapChange(here, 1, 2, NOW_MS)]), id="merges"
            ),
            pytest.param(
                lambda store, here: store.insert_visitors([VisitorRow(here, 1, 2, 1)]), id="visitors"
            ),
            pytest.param(
                lambda store, here: store.insert_elements([SeenElement(here, 1, BUTTON, NOW_MS)]),
                id="elements",
            ),
            pytest.param(
                lambda store, here: store.insert_refusals([Refused(here, NOW_MS, Reason.BOT)]), id="refusals"
            ),
            pytest.param(
                lambda store, here: store.erase_users([UserErasure(here, (1,), ())]), id="a deletion"
            ),
        ],
    )
    def test_every_change_changes_the_version(
        self, store: Store, environment_id: int, insert: Callable[[Store, int], object]
    ) -> None:
        before = store.state(environment_id)
        assert before == store.state(environment_id)
        insert(store, environment_id)
        after = store.state(environment_id)
        if before is None or after is None:
            return  # an implementation that others write to as well
        assert after.version != before.version

    def test_what_others_insert_changes_nothing(self, store: Store, environment_id: int) -> None:
        before = store.state(environment_id)
        store.insert_events([event(environment_id + 1)])
        assert store.state(environment_id) == before

    def test_a_failed_insert_may_have_changed_something(self, store: Store, environment_id: int) -> None:
        before = store.state(environment_id)
        with pytest.raises(RowsNotStorable):
            store.insert_elements([SeenElement(environment_id, 1, Element(text="\ud800"), NOW_MS)])
        store.insert_events([event(environment_id)])
        assert before is None or store.state(environment_id) != before

    def test_the_newest_event_is_never_later_than_it_says(self, store: Store, environment_id: int) -> None:
        newest = [store.state(environment_id)]
        for off in (-5, 60_000, -10):
            store.insert_events([event(environment_id, time_ms=NOW_MS + off)])
            newest.append(store.state(environment_id))
        known = [state.newest_ms for state in newest if state is not None]
        assert known in ([], [0, NOW_MS - 5, NOW_MS + 60_000, NOW_MS + 60_000])

    def test_whether_anybody_was_ever_merged(self, store: Store, environment_id: int) -> None:
        states = [store.state(environment_id)]
        for canonical, version in ((9, 1), (1, 2)):
            store.insert_user_map([MapChange(environment_id, 1, canonical, version)])
            states.append(store.state(environment_id))
        assert [state.has_merges for state in states if state is not None] in ([], [False, True, True])


class TestInserts:
    def test_nothing_is_nothing(self, store: Store) -> None:
        store.insert_events([])
        store.insert_properties([])
        store.insert_user_map([])
        store.insert_refusals([])
        assert store.known([]) == {}

    def test_three_hundred_months_at_once(self, store: Store, environment_id: int) -> None:
        months = [event(environment_id, time_ms=NOW_MS - n * 31 * 86_400_000) for n in range(300)]
        store.insert_events(months)
        assert ask(store, environment_id, "count()") == [300]
        assert store.known([month.event_id for month in months]) == {month.event_id: 0 for month in months}

    @pytest.mark.parametrize(
        "fields",
        [
            {"user_id": 2**64},
            {"user_id": -1},
            {"name": "\ud800"},
            {"time_ms": "noon"},
            {"properties": {"a": "\udfff"}},
            {"properties": {1: "a"}},
        ],
    )
    def test_rows_that_cannot_be_stored_store_none(
        self, store: Store, environment_id: int, fields: Any
    ) -> None:
        with pytest.raises(RowsNotStorable):
            store.insert_events(
                [event(environment_id), event(environment_id, **fields), event(environment_id)]
            )
        assert ask(store, environment_id, "count()") == [0]

    def test_properties_keep_the_newest_version_whatever_the_order(
        self, store: Store, environment_id: int
    ) -> None:
        changes = [PropertyChange(environment_id, 1, "plan", f"p{n}", NOW_MS + n, n) for n in range(5)]
        for change in (changes[2], changes[4], changes[0], changes[4]):
            store.insert_properties([change])
        assert ask(
            store, environment_id, "key, argMax(value, version)", "user_properties", "GROUP BY key"
        ) == [("plan", "p4")]

    def test_refusals_are_always_storable_and_never_doubled(self, store: Store, environment_id: int) -> None:
        odd = Refused(
            environment_id, NOW_MS, Reason.NO_USER, "\ud800", "\udfff", "u", "s", "{", log_position=7
        )
        other = Refused(environment_id, NOW_MS, Reason.JUNK_IDENTITY, log_position=8)
        loose = Refused(environment_id, NOW_MS, Reason.NO_USER)
        store.insert_refusals([odd])
        store.insert_refusals([odd, other, loose])
        store.insert_refusals([loose])
        stored = ask(
            store, environment_id, "log_position, outcome, reason, detail", "refusals", "ORDER BY ALL"
        )
        assert stored == [
            (0, "invalid", "no_user", ""),
            (0, "invalid", "no_user", ""),
            (7, "invalid", "no_user", "?"),
            (8, "invalid", "junk_identity", ""),
        ]


class TestKnown:
    def test_exactly_what_is_stored_with_its_place(self, store: Store, environment_id: int) -> None:
        stored = [event(environment_id, log_position=n) for n in range(2_000)]
        store.insert_events(stored)
        unknown = [random.getrandbits(64) for _ in range(5_000)]
        found = store.known([one.event_id for one in stored] + unknown)
        assert found == {one.event_id: one.log_position for one in stored}

    def test_edges(self, store: Store, environment_id: int) -> None:
        assert store.known([0, 2**64 - 2]) == {}
        store.insert_events([event(environment_id, event_id=0, log_position=3)])
        assert store.known([0, 0, 2**64 - 2]) == {0: 3}


class TestUserMap:
    def test_changes_are_in_force_at_the_next_question(self, store: Store, environment_id: int) -> None:
        store.insert_events([event(environment_id, user_id=user_id) for user_id in (1, 2, 3)])
        assert ask(store, environment_id, f"uniqExact({CANONICAL})") == [3]
        store.insert_user_map([MapChange(environment_id, n, 9, n) for n in (1, 2)])
        assert sorted(ask(store, environment_id, CANONICAL)) == [3, 9, 9]
        store.insert_user_map([MapChange(environment_id, 1, 1, 5)])
        store.insert_user_map([MapChange(environment_id, 1, 9, 1)])
        assert sorted(ask(store, environment_id, CANONICAL)) == [1, 3, 9]
        assert ask(store, environment_id + 1, CANONICAL) == []

    def test_its_newest_version(self, store: Store, environment_id: int) -> None:
        before = store.user_map_version()
        store.insert_user_map([MapChange(environment_id, 1, 2, before + 40)])
        assert store.user_map_version() == before + 40

"""Every event has exactly one outcome, through the real log, store and metadata."""

from typing import Any

import msgspec
import pytest

from cairn.ids import anonymous_user_id, identified_user_id
from cairn.query.canonical import CANONICAL
from cairn.store.question import ad_hoc
from tests.ingest.rig import DAY_MS, NOW_MS, Rig, outcomes, source, sources

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        pytest.param({"user_id": 7}, "stored", id="user id"),
        pytest.param({"identity": "ann@shop.test"}, "stored", id="identity"),
        pytest.param({"anonymous_id": "an-1"}, "stored", id="anonymous id"),
        pytest.param({}, "no_user", id="nobody"),
        pytest.param({"identity": "0"}, "stored", id="zero is an identity"),
        pytest.param({"user_id": 7, "time_ms": NOW_MS + DAY_MS}, "stored", id="a day ahead"),
        pytest.param(
            {"user_id": 7, "time_ms": NOW_MS + DAY_MS + 1}, "time_in_future", id="more than a day ahead"
        ),
        pytest.param({"user_id": 7, "time_ms": 946_684_800_000}, "stored", id="the first of 2000"),
        pytest.param({"user_id": 7, "time_ms": 946_684_799_999}, "time_too_old", id="before 2000"),
        pytest.param(
            {"user_id": 7, "time_ms": NOW_MS // 1000}, "time_too_old", id="seconds for milliseconds"
        ),
        pytest.param({"user_id": 7, "time_ms": -(10**15)}, "time_too_old", id="far past"),
        pytest.param({"refuse": "event_not_defined"}, "event_not_defined", id="refused by the parser"),
        pytest.param({"user_id": 2**70}, "not_stored", id="a number no column holds"),
        pytest.param(
            {"user_id": 7, "properties": {"a": [1]}}, "stored", id="a value the parser should have flattened"
        ),
        pytest.param(
            {"user_id": 2**53 - 1, "properties": {"": ""}, "name": "ünï 🪨\u0000"}, "stored", id="any text"
        ),
    ],
)
def test_every_event_has_one_outcome(
    rig: Rig, environment_id: int, event: dict[str, Any], expected: str
) -> None:
    rig.send(
        {"user_id": 1, "name": "before"},
        event,
        {"user_id": 1, "name": "after"},
        environment_id=environment_id,
    )
    rig.load()
    assert outcomes(rig, environment_id) == ["stored", expected, "stored"]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(source(5, (1,)), "stored", id="connected"),
        pytest.param(source(5, ()), "not_connected", id="not connected"),
        pytest.param(source(5, (1,), is_enabled=False), "source_disabled", id="switched off"),
        pytest.param(source(6, (1,)), "source_disabled", id="deleted"),
    ],
)
def test_a_source_decides_where_its_events_go(
    rig: Rig, environment_id: int, found: Any, expected: str
) -> None:
    connected = msgspec.structs.replace(
        found, heap_environments=(environment_id,) * len(found.heap_environments)
    )
    rig.directory = sources(connected)
    rig.send({"user_id": 1}, {"user_id": 2}, environment_id=environment_id, source_id=5, source="shop")
    rig.load()
    assert outcomes(rig, environment_id) == [expected, expected]


def test_a_source_connected_twice_fills_both_environments(rig: Rig, environment_id: int) -> None:
    rig.directory = sources(source(5, (environment_id, environment_id + 1)))
    rig.send({"user_id": 1, "key": "m-1"}, environment_id=environment_id, source_id=5)
    rig.load()
    assert rig.events(environment_id) == rig.events(environment_id + 1) == ["Paid"]


@pytest.mark.parametrize(
    ("time_ms", "sent_ms", "stored_ms"),
    [
        pytest.param(-3_902_000, -3_602_000, -300_000, id="the example of segment.md 1.5"),
        pytest.param(-1_000, 0, -1_000, id="no sending time: the client's own time"),
        pytest.param(0, -5_000, 0, id="no event time: received"),
        pytest.param(50_000, 60_000, -10_000, id="a sender's clock that is ahead"),
        pytest.param(-2 * DAY_MS, -1_000, -2 * DAY_MS + 1_000, id="an old event, sent late"),
        pytest.param(3 * DAY_MS, 3 * DAY_MS + 500, -500, id="three days ahead, corrected before the limit"),
    ],
)
def test_the_senders_clock_is_corrected(
    rig: Rig, environment_id: int, time_ms: int, sent_ms: int, stored_ms: int
) -> None:
    event = {"user_id": 1, "time_ms": NOW_MS + time_ms}
    if sent_ms:
        event["sent_ms"] = NOW_MS + sent_ms
    rig.send(event, environment_id=environment_id)
    rig.load()
    assert rig.events(environment_id, "toUnixTimestamp64Milli(time)") == [NOW_MS + stored_ms]


def test_the_first_id_given_decides_the_user(rig: Rig, environment_id: int) -> None:
    rig.send(
        {"user_id": 7, "identity": "ann", "anonymous_id": "an-1"},
        {"identity": "ann", "anonymous_id": "an-1"},
        {"anonymous_id": "an-1"},
        environment_id=environment_id,
    )
    rig.load()
    assert rig.events(environment_id, "user_id") == [
        7,
        identified_user_id(environment_id, "ann"),
        anonymous_user_id("an-1"),
    ]


def test_properties_are_stored_as_text(rig: Rig, environment_id: int) -> None:
    properties = {
        "text": "a",
        "whole": 3,
        "float": 3.0,
        "half": 2.5,
        "true": True,
        "false": False,
        "empty": "",
    }
    rig.send(
        {"user_id": 1, "properties": properties, "user_properties": properties}, environment_id=environment_id
    )
    rig.load()
    stored = {
        "text": "a",
        "whole": "3",
        "float": "3",
        "half": "2.5",
        "true": "true",
        "false": "false",
        "empty": "",
    }
    assert rig.events(environment_id, "properties") == [stored]
    assert rig.properties(environment_id) == {(1, key): value for key, value in stored.items()}


class TestRepeats:
    def test_within_a_request_and_across_requests(self, rig: Rig, environment_id: int) -> None:
        rig.send({"user_id": 1, "key": "m-1"}, {"user_id": 1, "key": "m-1"}, environment_id=environment_id)
        rig.send({"user_id": 1, "key": "m-1"}, {"user_id": 1, "key": "m-2"}, environment_id=environment_id)
        rig.load()
        rig.send({"user_id": 1, "key": "m-2"}, environment_id=environment_id)
        rig.load()
        assert outcomes(rig, environment_id) == [
            "stored",
            "repeated_id",
            "repeated_id",
            "stored",
            "repeated_id",
        ]
        assert len(rig.events(environment_id)) == 2

    def test_across_a_restart_of_loader_and_store_memory(self, rig: Rig, environment_id: int) -> None:
        rig.send({"user_id": 1, "key": "m-1"}, environment_id=environment_id)
        rig.load()
        rig.restart()
        rig.send({"user_id": 1, "key": "m-1"}, environment_id=environment_id)
        rig.load()
        assert outcomes(rig, environment_id) == ["stored", "repeated_id"]

    def test_events_without_a_key_never_repeat_one_another(self, rig: Rig, environment_id: int) -> None:
        for _ in range(2):
            rig.send({"user_id": 1}, {"user_id": 1}, environment_id=environment_id)
        rig.load()
        assert outcomes(rig, environment_id) == ["stored"] * 4

    def test_the_same_key_in_another_space_or_environment_is_another_event(
        self, rig: Rig, environment_id: int
    ) -> None:
        rig.send(
            {"user_id": 1, "key": "m-1"},
            {"user_id": 1, "key": "m-1", "key_space": "other"},
            environment_id=environment_id,
        )
        rig.send({"user_id": 1, "key": "m-1"}, environment_id=environment_id + 1)
        rig.load()
        assert outcomes(rig, environment_id) == ["stored", "stored"]
        assert outcomes(rig, environment_id + 1) == ["stored"]

    def test_a_repeat_merges_nobody(self, rig: Rig, environment_id: int) -> None:
        identify = {"kind": "identify", "name": "", "identity": "ann", "merge_user_id": 7, "key": "m-1"}
        rig.send(identify, environment_id=environment_id)
        rig.load()
        rig.send({**identify, "merge_user_id": 8}, environment_id=environment_id)
        rig.load()
        assert outcomes(rig, environment_id) == ["stored", "repeated_id"]
        assert canonical_of(rig, environment_id, 8) == 8


def identify(user_id: int, identity: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "identify", "name": "", "identity": identity, "merge_user_id": user_id, **fields}


def canonical_of(rig: Rig, environment_id: int, user_id: int) -> int:
    sql = f"""
        SELECT {CANONICAL} FROM (SELECT toUInt32({{environment:UInt32}}) AS environment_id, {{user:UInt64}} AS user_id)
    """
    return int(rig.store.query(ad_hoc(environment_id, sql, {"user": user_id}))[0][0])


class TestMerges:
    def test_the_first_identity_of_a_user_id_wins(self, rig: Rig, environment_id: int) -> None:
        rig.send(
            {"user_id": 7},
            identify(7, "ann"),
            identify(7, "ann"),
            identify(7, "bob"),
            environment_id=environment_id,
        )
        rig.load()
        assert outcomes(rig, environment_id) == ["stored", "stored", "stored", "identity_taken"]
        ann = identified_user_id(environment_id, "ann")
        assert canonical_of(rig, environment_id, 7) == ann
        assert rig.properties(environment_id) == {(ann, "identity"): "ann"}

    def test_an_identity_takes_ten_user_ids_in_a_month(self, rig: Rig, environment_id: int) -> None:
        rig.send(*[identify(user_id, "ann") for user_id in range(1, 13)], environment_id=environment_id)
        rig.load()
        rig.send(identify(20, "ann"), environment_id=environment_id)
        rig.load()
        refused = ["too_many_users_for_identity"]
        assert outcomes(rig, environment_id) == ["stored"] * 10 + refused * 3

    def test_other_sources_merge_without_that_limit(self, rig: Rig, environment_id: int) -> None:
        events = [identify(user_id, "ann") for user_id in range(1, 13)]
        rig.send(*events, environment_id=environment_id, source="shop")
        rig.load()
        assert outcomes(rig, environment_id) == ["stored"] * 12

    def test_an_event_that_says_more_is_kept_when_its_merge_is_refused(
        self, rig: Rig, environment_id: int
    ) -> None:
        rig.send(
            identify(7, "ann"),
            identify(7, "bob", user_properties={"plan": "pro"}),
            {"identity": "cleo", "merge_user_id": 7},
            environment_id=environment_id,
        )
        rig.load()
        assert outcomes(rig, environment_id) == ["stored"] * 3
        assert canonical_of(rig, environment_id, 7) == identified_user_id(environment_id, "ann")
        assert "not merged" in rig.feed.recent(environment_id, 1)[0].detail
        assert rig.properties(environment_id)[identified_user_id(environment_id, "bob"), "plan"] == "pro"

    def test_an_unmerge_outside_the_loader_is_seen(self, rig: Rig, environment_id: int) -> None:
        from cairn.identity.merges import unmerge
        from tests.ingest.rig import NOW

        rig.send(identify(7, "ann"), environment_id=environment_id)
        rig.load()
        with rig.engine.begin() as connection:
            change = unmerge(connection, environment_id, 7, "a member", NOW)
        assert change is not None
        rig.store.insert_user_map([change])
        assert canonical_of(rig, environment_id, 7) == 7
        rig.send(identify(7, "bob"), environment_id=environment_id)
        rig.load()
        assert canonical_of(rig, environment_id, 7) == identified_user_id(environment_id, "bob")

    def test_what_was_taken_back_is_merged_again_by_an_identify_call_only(
        self, rig: Rig, environment_id: int
    ) -> None:
        from cairn.identity.merges import unmerge
        from tests.ingest.rig import NOW

        carried = {"user_id": 7, "identity": "ann", "merge_user_id": 7}
        rig.send(carried, environment_id=environment_id)
        rig.load()
        assert canonical_of(rig, environment_id, 7) == identified_user_id(environment_id, "ann")
        with rig.engine.begin() as connection:
            change = unmerge(connection, environment_id, 7, "a member", NOW)
        assert change is not None
        rig.store.insert_user_map([change])
        rig.send(carried, carried, environment_id=environment_id)
        rig.load()
        assert canonical_of(rig, environment_id, 7) == 7
        assert outcomes(rig, environment_id) == ["stored"] * 3
        assert "took this merge back" in rig.feed.recent(environment_id, 1)[0].detail
        rig.send(identify(7, "ann"), environment_id=environment_id)
        rig.load()
        assert canonical_of(rig, environment_id, 7) == identified_user_id(environment_id, "ann")
        rig.send(carried, environment_id=environment_id)
        rig.load()
        assert canonical_of(rig, environment_id, 7) == identified_user_id(environment_id, "ann")

    def test_a_merge_that_was_not_copied_is_copied_at_the_start(self, rig: Rig, environment_id: int) -> None:
        from cairn.identity.merges import merge
        from tests.ingest.rig import NOW

        with rig.engine.begin() as connection:
            merge(connection, environment_id, 7, "ann", "test", NOW)
        assert canonical_of(rig, environment_id, 7) == 7
        rig.restart()
        rig.load()
        assert canonical_of(rig, environment_id, 7) == identified_user_id(environment_id, "ann")


class TestUserProperties:
    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
    def test_the_newest_time_wins_in_any_order(
        self, rig: Rig, environment_id: int, order: tuple[int, ...]
    ) -> None:
        for step in order:
            event = {
                "user_id": 1,
                "user_properties": {"plan": f"plan {step}"},
                "time_ms": NOW_MS - DAY_MS + step,
            }
            rig.send(event, environment_id=environment_id)
            rig.load()
        assert rig.properties(environment_id) == {(1, "plan"): "plan 2"}

    def test_at_one_time_the_last_to_arrive_wins(self, rig: Rig, environment_id: int) -> None:
        for step in range(3):
            rig.send(
                *[{"user_id": 1, "user_properties": {"plan": f"{step}/{n}"}} for n in range(3)],
                environment_id=environment_id,
            )
        rig.load()
        rig.send({"user_id": 1, "user_properties": {"plan": "last"}}, environment_id=environment_id)
        rig.load()
        assert rig.properties(environment_id) == {(1, "plan"): "last"}

    def test_nobody_takes_an_identity_by_a_property(self, rig: Rig, environment_id: int) -> None:
        rig.send(
            {"identity": "ann", "user_properties": {"identity": "boss", "plan": "pro"}},
            {"user_id": 7, "user_properties": {"identity": "boss"}},
            environment_id=environment_id,
        )
        rig.load()
        ann = identified_user_id(environment_id, "ann")
        assert rig.properties(environment_id) == {(ann, "identity"): "ann", (ann, "plan"): "pro"}

    def test_identity_and_email_as_sent(self, rig: Rig, environment_id: int) -> None:
        rig.send(
            {"identity": "Ann", "user_properties": {"email": "A@b.c", "Email": "x"}},
            environment_id=environment_id,
        )
        rig.load()
        ann = identified_user_id(environment_id, "Ann")
        assert rig.properties(environment_id) == {
            (ann, "identity"): "Ann",
            (ann, "email"): "A@b.c",
            (ann, "Email"): "x",
        }


class TestTouched:
    def test_names_raw_users_by_what_changed(self, rig: Rig, environment_id: int) -> None:
        rig.send(
            {"user_id": 1},
            {"user_id": 2, "name": "Left", "user_properties": {"plan": "pro"}},
            identify(3, "ann"),
            {"user_id": 9, "time_ms": 5},
            environment_id=environment_id,
        )
        rig.load()
        (loaded,) = rig.loaded
        ann = identified_user_id(environment_id, "ann")
        assert loaded.environment_id == environment_id
        assert loaded.by_event == {("custom", "Paid"): {1}, ("custom", "Left"): {2}, ("identify", ""): {ann}}
        assert loaded.by_property == {"plan": {2}, "identity": {ann}}
        assert loaded.merged == {3, ann}

    def test_replayed_events_name_their_users_again(self, rig: Rig, environment_id: int) -> None:
        def die(_: object) -> None:
            raise KeyboardInterrupt

        rig.send(
            {"user_id": 1},
            identify(3, "ann", user_properties={"plan": "x"}),
            {},
            environment_id=environment_id,
        )
        rig.restart(on_loaded=die)
        with pytest.raises(KeyboardInterrupt):
            rig.load()
        rig.restart()
        rig.load()
        (loaded,) = rig.loaded
        ann = identified_user_id(environment_id, "ann")
        assert loaded.by_event == {("custom", "Paid"): {1}, ("identify", ""): {ann}}
        assert loaded.by_property == {"plan": {ann}, "identity": {3, ann}}
        assert loaded.merged == {3, ann}
        assert outcomes(rig, environment_id) == ["stored", "stored", "no_user"]


class TestPoison:
    def test_a_request_its_parser_fails_on_is_refused_alone(self, rig: Rig, environment_id: int) -> None:
        rig.send({"user_id": 1}, environment_id=environment_id)
        rig.send({"user_id": 1}, {"raise": "boom"}, environment_id=environment_id)
        rig.send({"user_id": 1}, environment_id=environment_id)
        rig.load()
        assert outcomes(rig, environment_id) == ["stored", "not_stored", "stored"]
        assert "boom" in rig.refusals(environment_id, "detail")[0]

    def test_an_unknown_parser_is_refused(self, rig: Rig, environment_id: int) -> None:
        rig.send({"user_id": 1}, environment_id=environment_id, parser="heap_from_the_future")
        rig.load()
        assert outcomes(rig, environment_id) == ["not_stored"]

    def test_an_item_that_is_no_request_is_refused(self, rig: Rig) -> None:
        rig.log.append([b"\xc1 not msgpack"])
        before = len(rig.refusals(0))
        rig.load()
        assert rig.refusals(0)[before:] == ["not_stored"]

    def test_a_draft_that_a_step_fails_on_is_refused_with_its_request_only(
        self, rig: Rig, environment_id: int
    ) -> None:
        for bad in (False, True, False):
            rig.send({"user_id": 1, "time_ms": "noon" if bad else NOW_MS}, environment_id=environment_id)
        rig.load()
        assert outcomes(rig, environment_id) == ["stored", "not_stored", "stored"]

    def test_one_row_that_cannot_be_stored_is_found_among_many(self, rig: Rig, environment_id: int) -> None:
        events: list[dict[str, Any]] = [{"user_id": n} for n in range(1, 101)]
        events[37]["pageview_id"] = -1
        rig.send(*events, environment_id=environment_id)
        rig.load()
        assert outcomes(rig, environment_id) == ["stored"] * 37 + ["not_stored"] + ["stored"] * 62


def test_a_batch_may_span_three_hundred_months(rig: Rig, environment_id: int) -> None:
    months = [{"user_id": 1, "time_ms": NOW_MS - n * 31 * DAY_MS} for n in range(300)]
    rig.send(*months, environment_id=environment_id)
    rig.load()
    assert outcomes(rig, environment_id) == ["stored"] * 300
    assert len(set(rig.events(environment_id, "toYYYYMM(time)"))) >= 295


def test_nothing_is_loaded_twice(rig: Rig, environment_id: int) -> None:
    rig.send({"user_id": 1}, environment_id=environment_id)
    assert (rig.load(), rig.load()) == (1, 0)
    assert len(rig.events(environment_id)) == 1


SHAPE = {"hierarchy": "@button;#pay;|", "tag": "button", "dom_id": "pay", "attributes": {"b": "2", "a": "1"}}


class TestElements:
    def test_a_shape_is_stored_once_under_the_number_its_events_carry(
        self, rig: Rig, environment_id: int
    ) -> None:
        click = {"user_id": 1, "kind": "click", "name": "click", "element": SHAPE}
        other = {**click, "element": {**SHAPE, "text": "Pay"}}
        rig.send(click, other, click, {"user_id": 1}, environment_id=environment_id)
        rig.load()
        rig.restart()  # without memory of the first
        rig.send(click, environment_id=environment_id)
        rig.load()
        shapes = rig.store.query(
            ad_hoc(
                environment_id,
                "SELECT element_id, text, dom_id, attributes FROM cairn.elements "
                "WHERE environment_id = {environment:UInt32} ORDER BY text",
            ),
        )
        attributes = {"a": "1", "b": "2"}
        assert [row[1:] for row in shapes] == [("", "pay", attributes), ("Pay", "pay", attributes)]
        first, second = (row[0] for row in shapes)
        assert rig.events(environment_id, "element") == [first, second, first, 0, first]

    def test_facts_are_stored_in_their_columns(self, rig: Rig, environment_id: int) -> None:
        rig.send(
            {"user_id": 1, "facts": {"path": "/a", "domain": "shop.test"}},
            {"user_id": 1},
            environment_id=environment_id,
        )
        rig.load()
        assert rig.events(environment_id, "domain, path, query") == [("shop.test", "/a", ""), ("", "", "")]

    def test_one_that_cannot_be_stored_costs_no_event(self, rig: Rig, environment_id: int) -> None:
        bad = {"user_id": 1, "element": {"hierarchy": 7}}
        rig.send(bad, {"user_id": 1, "element": SHAPE}, environment_id=environment_id)
        rig.load()
        assert outcomes(rig, environment_id) == ["stored", "stored"]
        assert rig.events(environment_id, "element > 0") == [0, 1]


@pytest.mark.parametrize("restarts", [False, True])
def test_what_is_set_after_the_clock_was_set_back_wins(rig: Rig, environment_id: int, restarts: bool) -> None:
    """The clock was two hours ahead when the first was received, or the sender's was, which was corrected by ours."""
    for user_id, skewed in ((1, False), (2, True)):
        for plan, received_ms in (("free", NOW_MS + 2 * HOUR_MS), ("pro", NOW_MS), ("team", NOW_MS + 1)):
            times = {"sent_ms": received_ms - 500, "time_ms": received_ms - 600} if skewed else {}
            rig.send(
                {"user_id": user_id, "user_properties": {"plan": plan}, **times},
                environment_id=environment_id,
                received_ms=received_ms,
            )
            rig.load()
            if restarts:
                rig.restart()
    assert rig.properties(environment_id) == {(1, "plan"): "team", (2, "plan"): "team"}

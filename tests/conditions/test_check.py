"""Every mistake in a condition is named by its place."""

import msgspec
import pytest

from cairn.conditions.check import MAX_DEPTH, MAX_LEAVES, ConditionNotAccepted, check, parse
from cairn.conditions.tree import (
    EVERYBODY,
    And,
    Attribute,
    Between,
    Condition,
    Device,
    Did,
    EventMatch,
    InList,
    Last,
    Location,
    Not,
    Or,
    OtherFlag,
    PropertyFilter,
    UserProperty,
    Visitor,
)

PREMIUM = UserProperty("plan", "is", "premium")
BUY = EventMatch(name="Buy")


def nested(levels: int) -> Condition:
    condition: Condition = PREMIUM
    for _ in range(levels):
        condition = Not(condition)
    return condition


@pytest.mark.parametrize(
    "condition",
    [
        PREMIUM,
        EVERYBODY,
        UserProperty("plan", "is", ""),
        UserProperty("age", "greater", "-1.5e3"),
        UserProperty("plan", "matches", r"^(a|b)\d+$"),
        UserProperty("plan", "in", values=tuple(map(str, range(100_000)))),
        Did(EventMatch("", ""), "exactly", 0),
        Did(BUY, "at_least", 1, Last(3650, "day")),
        Did(BUY, "at_least", 1, Between(0, 1)),
        nested(MAX_DEPTH - 1),
        Or((PREMIUM,) * MAX_LEAVES),
    ],
)
def test_these_are_accepted(condition: Condition) -> None:
    check(condition)


@pytest.mark.parametrize(
    ("condition", "place"),
    [
        (Or(()), "condition.nodes"),
        (And((PREMIUM, Or((Not(And(())),)))), "condition.nodes[1].nodes[0].node.nodes"),
        (UserProperty("", "is", "x"), "condition.key"),
        (UserProperty("plan", "contains", ""), "condition.value"),
        (UserProperty("plan", "matches", "("), "condition.value"),
        (UserProperty("plan", "matches", "(?=a)"), "condition.value"),  # Perl's, not RE2's
        (UserProperty("plan", "matches", r"(a)\1"), "condition.value"),
        (UserProperty("plan", "greater", "ten"), "condition.value"),
        (UserProperty("plan", "at_most", "inf"), "condition.value"),
        (UserProperty("plan", "less", "1e999"), "condition.value"),
        (UserProperty("plan", "less", "٣"), "condition.value"),  # a digit, but not one of JSON's
        (UserProperty("plan", "less", "1\n"), "condition.value"),
        (UserProperty("plan", "in"), "condition.values"),
        (UserProperty("plan", "in", values=("a", "x" * 10_001)), "condition.values[1]"),
        (UserProperty("plan", "is", "\ud800"), "condition.value"),
        (UserProperty("\udfff", "is", "x"), "condition.key"),
        (Did(BUY, "at_least", -1), "condition.count"),
        (Did(BUY, "at_least", 10**30), "condition.count"),
        (Did(EventMatch("klick"), "at_least", 1), "condition.event.kind"),
        (Did(EventMatch(name="x" * 10_001)), "condition.event.name"),
        (Did(EventMatch(filters=(PropertyFilter("", "is_set"),))), "condition.event.filters[0].key"),
        (Did(EventMatch(filters=(PropertyFilter("a", "matches", "["),))), "condition.event.filters[0].value"),
        (Did(BUY, window=Last(0, "day")), "condition.window.amount"),
        (Did(BUY, window=Last(-3, "minute")), "condition.window.amount"),
        (Did(BUY, window=Last(3651, "day")), "condition.window.amount"),
        (Did(BUY, window=Last(522, "week")), "condition.window.amount"),
        (Did(BUY, window=Between(5, 5)), "condition.window"),
        (Did(BUY, window=Between(-1, 5)), "condition.window"),
        (Did(BUY, window=Between(0, 10**30)), "condition.window"),
        (nested(MAX_DEPTH), "condition" + ".node" * MAX_DEPTH),
        (Or((PREMIUM,) * (MAX_LEAVES + 1)), "condition"),
        (Attribute("a", "is", "b"), "condition"),
        (And((InList("a", segment_id=1),)), "condition.nodes[0]"),
        (Visitor("a"), "condition"),
        (Location("country", "DE"), "condition"),
        (Device("os", "x"), "condition"),
        (Not(OtherFlag(1, "on")), "condition.node"),
    ],
)
def test_each_mistake_is_named_by_its_place(condition: Condition, place: str) -> None:
    with pytest.raises(ConditionNotAccepted) as raised:
        check(condition)
    assert raised.value.field == place
    assert str(raised.value).startswith(place)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"type": "nonsense"}, "nonsense"),
        ({"type": "user_property", "key": "a"}, "operator"),
        ({"type": "user_property", "key": "a", "operator": "equals"}, r"\$.operator"),
        ({"type": "not", "node": {"type": "did", "event": {"nam": "x"}}}, r"\$.node.event"),
        ({"type": "did", "event": {}, "count": "2"}, r"\$.count"),
        ({"type": "did", "event": {"defined": 10**30}}, r"\$.event.defined"),
        ({"type": "did", "event": {"defined": -1}}, r"\$.event.defined"),
        ([], "condition"),
        (None, "condition"),
    ],
)
def test_json_that_is_no_condition_is_refused_with_the_place(document: object, says: str) -> None:
    with pytest.raises(ConditionNotAccepted, match=says):
        parse(document)


def test_json_nested_past_all_reason_is_refused_and_does_not_fall_over() -> None:
    document: object = {"type": "and", "nodes": []}
    for _ in range(100_000):
        document = {"type": "not", "node": document}
    with pytest.raises(ConditionNotAccepted):
        check(parse(document))


def test_a_condition_is_the_same_after_json() -> None:
    condition = And((PREMIUM, Did(BUY, "exactly", 0, Last(1, "week"))))
    assert parse(msgspec.to_builtins(condition)) == condition

"""Conditions in English."""

import pytest

from cairn.conditions.describe import Line, Names, Phrase, describe, lines, sentence
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
ORDER = EventMatch(name="Order Completed")


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        (PREMIUM, "plan is premium"),
        (UserProperty("plan", "is", ""), "plan is (empty)"),
        (UserProperty("plan", "is_not_set"), "plan is not set"),
        (UserProperty("age", "at_least", "18"), "age is at least 18"),
        (UserProperty("plan", "not_in", values=("a", "b")), "plan is none of a, b"),
        (UserProperty("plan", "in", values=tuple("abcdefg")), "plan is one of a, b, c, d, e and 2 more"),
        (Did(ORDER), "did Order Completed"),
        (
            Did(ORDER, "at_least", 2, Last(30, "day")),
            "did Order Completed at least 2 times in the last 30 days",
        ),
        (Did(ORDER, "at_most", 1, Last(1, "week")), "did Order Completed at most 1 time in the last week"),
        (Did(ORDER, "exactly", 0), "did not do Order Completed"),
        (Did(ORDER, "less_than", 1), "did not do Order Completed"),
        (Did(ORDER, "more_than", 0), "did Order Completed"),
        (Did(EventMatch("")), "did anything"),
        (Did(EventMatch("pageview")), "did any page view"),
        (Did(EventMatch("click", "Buy")), "did the click Buy"),
        (Did(EventMatch("", "Buy")), "did Buy (of any kind)"),
        (
            Did(
                EventMatch(
                    "custom", "Buy", (PropertyFilter("total", "greater", "9"), PropertyFilter("x", "is_set"))
                )
            ),
            "did Buy where total is greater than 9 and x is set",
        ),
        (
            Did(ORDER, window=Between(1_767_225_600_000, 1_769_904_000_000)),
            "did Order Completed between 2026-01-01 00:00 and 2026-02-01 00:00 UTC",
        ),
        (EVERYBODY, "everybody"),
        (Or(()), "nobody"),
        (Not(PREMIUM), "not (plan is premium)"),
        (And((PREMIUM, Did(ORDER))), "plan is premium and did Order Completed"),
        (
            And((PREMIUM, Or((Did(ORDER), UserProperty("a", "is_set"))))),
            "plan is premium and (did Order Completed or a is set)",
        ),
        (And((Or((PREMIUM, Did(ORDER))),)), "plan is premium or did Order Completed"),
        (InList("id", segment_id=3), "custom variable id is in list segment 3"),
        (InList("id", segment_id=4), "custom variable id is in list Buyers"),
        (InList("id", list_id="l1"), "custom variable id is in list l1"),
        (Attribute("age", "greater", "9"), "custom variable age is greater than 9"),
        (Visitor("a,b"), "the user id is one of a,b"),
        (Location("country", "DE"), "country is DE"),
        (Device("device_type", "mobile"), "device type is mobile"),
        (OtherFlag(7, "off"), "flag 7 is off"),
    ],
)
def test_a_condition_reads_as_a_sentence(condition: Condition, says: str) -> None:
    assert sentence(condition, Names(segments={4: "Buyers"})) == says


def test_names_and_values_are_emphasised() -> None:
    assert describe(Did(ORDER, "at_least", 2, Last(30, "day"))) == [
        Phrase("did "),
        Phrase("Order Completed", True),
        Phrase(" at least 2 times in the last 30 days"),
    ]
    assert describe(PREMIUM) == [Phrase("plan", True), Phrase(" is "), Phrase("premium", True)]


def test_an_audience_reads_line_by_line() -> None:
    audience = Or((Not(InList("id", segment_id=4)), And((OtherFlag(7, "on"), Location("country", "DE")))))
    names = Names(segments={4: "Buyers"}, flags={7: "checkout"})
    assert lines(audience, names) == [
        Line(
            "if",
            [
                Phrase("custom variable "),
                Phrase("id", True),
                Phrase(" is not in list "),
                Phrase("Buyers", True, segment_id=4),
            ],
        ),
        Line(
            "or",
            [
                Phrase("flag "),
                Phrase("checkout", True),
                Phrase(" is on and country is "),
                Phrase("DE", True),
            ],
        ),
    ]
    assert lines(EVERYBODY) == []
    assert [line.joiner for line in lines(Or(()))] == ["if"]

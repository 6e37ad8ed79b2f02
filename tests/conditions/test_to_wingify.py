import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn.conditions import operand
from cairn.conditions.evaluate import NotForFlags
from cairn.conditions.to_wingify import to_wingify
from cairn.conditions.tree import (
    EVERYBODY,
    And,
    Attribute,
    Condition,
    Device,
    Did,
    EventMatch,
    InList,
    Location,
    Not,
    Or,
    OtherFlag,
    UserProperty,
    Visitor,
)
from cairn.errors import InvalidInput

PRO = Attribute("plan", "is_ignoring_case", "pro")
PRO_DSL = {"custom_variable": {"plan": "lower(pro)"}}
LIST = InList("email", list_id="42")
LIST_DSL = {"custom_variable": {"email": "inlist(42)"}}


@pytest.mark.parametrize(
    ("condition", "dsl"),
    [
        pytest.param(EVERYBODY, {}, id="everybody"),
        pytest.param(Or(()), {"or": []}, id="nobody"),
        pytest.param(And((And(()), PRO)), {"and": [{"not": {"or": []}}, PRO_DSL]}, id="everybody inside"),
        pytest.param(Location("city", "Bonn"), {"and": [{"city": "Bonn"}]}, id="location has its own and"),
        pytest.param(Device("os", "ios"), {"or": [{"os": "ios"}]}, id="user agent has its own or"),
        pytest.param(Device("os_version", "gt(1)"), {"os_version": "gt(1)"}, id="versions stand alone"),
        pytest.param(OtherFlag(11, "on"), {"or": [{"featureId": {"11": "on"}}]}, id="another flag"),
        pytest.param(Not(Visitor("a,b")), {"not": {"user": "a,b"}}, id="visitor"),
        pytest.param(
            And((LIST, PRO, Device("device_type", "mobile"), Location("country", "Germany"))),
            {
                "and": [
                    {"or": [{"device_type": "mobile"}]},
                    {"and": [{"country": "Germany"}]},
                    PRO_DSL,
                    LIST_DSL,
                ]
            },
            id="lists last",
        ),
        pytest.param(
            Or((Not(LIST), PRO)), {"or": [PRO_DSL, {"not": LIST_DSL}]}, id="lists last in an or, too"
        ),
        pytest.param(
            And((Or((LIST, PRO)), Location("country", "Germany"))),
            {"and": [{"and": [{"country": "Germany"}]}, {"or": [PRO_DSL, LIST_DSL]}]},
            id="a list deep inside goes last",
        ),
    ],
)
def test_conditions_are_placed_safely(condition: Condition, dsl: dict[str, Any]) -> None:
    assert to_wingify(condition) == dsl


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        (UserProperty("plan", "is", "pro"), "user property 'plan'"),
        (And((PRO, Not(Did(EventMatch(name="purchase"))))), "did 'purchase'"),
        (Attribute("age", "greater", "-5"), "attribute 'age'"),
        (Attribute("age", "less", "1e5"), "attribute 'age'"),
        (Attribute("age", "at_least", ""), "attribute 'age'"),
        (Attribute("name", "is_ignoring_case", "a\nb"), "attribute 'name'"),
        (Attribute("name", "matches", "my inlist"), "attribute 'name'"),
        (InList("email"), "attribute 'email'"),
        (InList("email", list_id="a b"), "attribute 'email'"),
        (InList("email", list_id="a)b"), "attribute 'email'"),
    ],
)
def test_what_no_sdk_can_ask_is_refused_by_name(condition: Condition, names: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(names)):
        to_wingify(condition)


def test_behaviour_points_to_segments() -> None:
    with pytest.raises(NotForFlags, match="make it a segment"):
        to_wingify(Did(EventMatch(name="purchase")))


PARTS = st.lists(st.integers(0, 12) | st.integers(0, 2000), min_size=1, max_size=5)


@given(
    operand_parts=PARTS.filter(lambda parts: len(parts) >= 3),
    value_parts=PARTS,
    keyword=st.sampled_from(["greater", "at_least", "less", "at_most"]),
    zeros=st.booleans(),
)
def test_versions_compare_part_by_part(
    operand_parts: list[int], value_parts: list[int], keyword: Any, zeros: bool
) -> None:
    version = ".".join(map(str, operand_parts))
    spelt = operand.spell(Attribute("v", keyword, version))
    value = ".".join(("0" if zeros else "") + str(part) for part in value_parts)
    width = max(len(operand_parts), len(value_parts))
    left, right = (parts + [0] * (width - len(parts)) for parts in (value_parts, operand_parts))
    expected = {
        "greater": left > right,
        "at_least": left >= right,
        "less": left < right,
        "at_most": left <= right,
    }
    assert spelt.startswith("regex(")
    assert (re.search(spelt[6:-1], value) is not None) == expected[keyword]
    assert operand.holds(spelt, value) == expected[keyword]


@given(literal=st.text(max_size=20), other=st.text(max_size=20))
def test_escaped_text_matches_itself_only(literal: str, other: str) -> None:
    pattern = f"^(?:{operand.escape(literal)})\\Z"
    assert "inlist" not in pattern
    assert re.search(pattern, literal)
    assert (re.search(pattern, other) is not None) == (literal == other)


@given(
    value=st.text(max_size=12),
    keyword=st.sampled_from(["is", "contains", "starts_with", "ends_with"]),
    around=st.tuples(st.text(max_size=5), st.text(max_size=5)),
)
def test_text_operators_mean_what_they_say(value: str, keyword: Any, around: tuple[str, str]) -> None:
    spelt = operand.spell(Attribute("a", keyword, value))
    before, after = around
    assert "inlist" not in spelt
    asked = {
        "is": value,
        "contains": before + value + after,
        "starts_with": value + after,
        "ends_with": before + value,
    }[keyword]
    if not re.fullmatch(r"[\d.]*", asked, re.ASCII):  # what looks like a number is compared as one
        assert operand.holds(spelt, asked)

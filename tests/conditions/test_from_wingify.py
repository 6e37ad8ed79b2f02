from typing import Any

import pytest

from cairn.conditions.from_wingify import DslUnreadable, from_wingify
from cairn.conditions.to_wingify import to_wingify
from cairn.conditions.tree import (
    EVERYBODY,
    And,
    Attribute,
    Condition,
    Device,
    InList,
    Location,
    Not,
    Or,
    OtherFlag,
    Visitor,
)
from tests.clients.cases.official import segmentation_cases


def custom(operand: str) -> dict[str, Any]:
    return {"custom_variable": {"a": operand}}


@pytest.mark.parametrize(
    ("dsl", "condition"),
    [
        pytest.param({}, EVERYBODY, id="everybody"),
        pytest.param(custom("abc"), Attribute("a", "is", "abc"), id="equal"),
        pytest.param(custom("lower(Abc)"), Attribute("a", "is_ignoring_case", "Abc"), id="lower"),
        pytest.param(custom("wildcard(*b*)"), Attribute("a", "contains", "b"), id="contains"),
        pytest.param(custom("wildcard(b*)"), Attribute("a", "starts_with", "b"), id="starts"),
        pytest.param(custom("wildcard(*b)"), Attribute("a", "ends_with", "b"), id="ends"),
        pytest.param(custom("regex(^b)"), Attribute("a", "matches", "^b"), id="regex"),
        pytest.param(
            custom("gte(1.5)"), Attribute("a", "operand", "gte(1.5)"), id="comparison by parts stays"
        ),
        pytest.param(custom("5"), Attribute("a", "operand", "5"), id="number stays"),
        pytest.param(
            custom("regex(10|20)"), Attribute("a", "operand", "regex(10|20)"), id="number in front stays"
        ),
        pytest.param(
            custom("regex((?=a)b)"), Attribute("a", "operand", "regex((?=a)b)"), id="look-ahead stays"
        ),
        pytest.param(custom("inlist(l-1)"), InList("a", list_id="l-1"), id="list"),
        pytest.param(custom("true"), Attribute("a", "operand", "true"), id="boolean text stays"),
        pytest.param(custom("wildcard(abc)"), Attribute("a", "operand", "wildcard(abc)"), id="no star stays"),
        pytest.param(
            custom("wildcard(**b*)"), Attribute("a", "operand", "wildcard(**b*)"), id="odd stars stay"
        ),
        pytest.param(custom("gt(1.2.3)"), Attribute("a", "operand", "gt(1.2.3)"), id="version stays"),
        pytest.param(custom("gt(-5)"), Attribute("a", "operand", "gt(-5)"), id="negative stays"),
        pytest.param(
            custom("lower(a) b"), Attribute("a", "operand", "lower(a) b"), id="text after bracket stays"
        ),
        pytest.param({"user": "a, b"}, Visitor("a, b"), id="user"),
        pytest.param({"country": "Germany"}, Location("country", "Germany"), id="country"),
        pytest.param(
            {"os": ["ios", "android"]}, Or((Device("os", "ios"), Device("os", "android"))), id="array"
        ),
        pytest.param({"browser_version": "gt(10)"}, Device("browser_version", "gt(10)"), id="version key"),
        pytest.param({"featureId": {"11": "off"}}, OtherFlag(11, "off"), id="other flag"),
        pytest.param(
            {"not": {"and": [{"user": "a"}, custom("x")]}},
            Not(And((Visitor("a"), Attribute("a", "is", "x")))),
            id="nesting",
        ),
        pytest.param({"not": {"user": "a"}, "and": []}, Not(Visitor("a")), id="only the first key counts"),
        pytest.param(
            {"custom_variable": {"a": "x", "b": "y"}},
            Attribute("a", "is", "x"),
            id="only the first attribute",
        ),
    ],
)
def test_a_node_is_read(dsl: dict[str, Any], condition: Condition) -> None:
    assert from_wingify(dsl) == condition


@pytest.mark.parametrize(
    "dsl",
    [
        [],
        None,
        "and",
        5,
        {"xor": []},
        {"and": {}},
        {"or": "x"},
        {"not": []},
        {"not": {}},
        {"and": [{}]},
        {"and": [None]},
        {"custom_variable": {}},
        {"custom_variable": {"a": 5}},
        {"custom_variable": {"a": True}},
        {"custom_variable": {"a": None}},
        {"custom_variable": "a"},
        {"user": 5},
        {"user": ["a"]},
        {"country": ["Germany"]},
        {"os": [5]},
        {"featureId": {"x": "on"}},
        {"featureId": {"1": "maybe"}},
        custom("inlist()"),
        custom("inlist(a b)"),
        custom("inlist(a"),
        custom("not inlist(a)"),
        {"campaignVariation": "123_2"},
    ],
)
def test_what_is_not_dsl_is_refused(dsl: Any) -> None:
    with pytest.raises(DslUnreadable) as refused:
        from_wingify(dsl)
    assert refused.value.field == "segments"


def test_endless_nesting_is_refused() -> None:
    dsl: dict[str, Any] = {"user": "a"}
    for _ in range(5000):
        dsl = {"not": dsl}
    with pytest.raises(DslUnreadable, match="64 levels"):
        from_wingify(dsl)


def test_official_segments_come_back_to_the_letter() -> None:
    """But for a node's second keys, which no SDK reads."""
    changed = [
        name
        for name, case in segmentation_cases().items()
        if to_wingify(from_wingify(case["dsl"])) != case["dsl"]
    ]
    assert changed == [
        "user_operand_evaluator_with_customVariables/9",
        "user_operand_evaluator_with_customVariables/10",
    ]

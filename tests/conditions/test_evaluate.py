"""Node's reading of values, each row as contracts/wingify.md 7.2 and 7.4 record it from the real SDK."""

from typing import Any

import pytest

from cairn.conditions import javascript, javascript_pattern, operand
from cairn.conditions.evaluate import Facts, NotForFlags, holds
from cairn.conditions.tree import (
    Attribute,
    Condition,
    Device,
    InList,
    Location,
    Not,
    OtherFlag,
    UserProperty,
    Visitor,
)


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("gt(9.8)", 9.75, True),
        ("gt(1.9)", 1.10, False),
        ("gt(1.2.1)", "1.2.3", False),
        ("1.2", "1.2.0", True),
        ("1234567890123456790", "1234567890123456891", True),
        ("1", "01", True),
        ("100000", 1e5, True),
        ("true", True, True),
        ("True", True, False),
        ("lower(true)", True, True),
        ("lower(true)", False, False),
        ("lt(100)", "abc", True),
        ("gt(-5)", 6, False),
        ("gt(1e2)", 600, False),
        ("inf", "inf", True),
        ("inf", "infinity", False),
        ("1000", "1_000", False),
        ("abc", None, False),
        ("regex(.*)", None, False),
        ("regex(.*)", "", True),
        ("regex(.*)", 0, True),
        ("regex((?i:abc))", "ABC", False),
        ("wildcard(a*c)", "abc", False),
        ("wildcard(*)", "x", True),
        ("a,b", ["a", "b"], True),
        ("[object Object]", {"a": 1}, True),
        ("1e+21", 1e21, True),
        ("5", 5.0, True),
        ("0", "00", True),
        ("regex([)", "[", False),
        ("lower(0)", "0.0", False),
        ("gt(5) or more", 6, True),
        ("", "", True),
    ],
)
def test_operands_read_as_in_node(text: str, value: Any, expected: bool) -> None:
    assert operand.holds(text, value) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, "true"),
        (None, "null"),
        (7, "7"),
        (7.0, "7"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1e21, "1e+21"),
        (1.5e-7, "1.5e-7"),
        (0.000001, "0.000001"),
        (12345678901234567890, "12345678901234567000"),
        (123456789012345680000.0, "123456789012345680000"),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (10**400, "Infinity"),
        ([1, None, "a", [2, 3]], "1,,a,2,3"),
        ({}, "[object Object]"),
    ],
)
def test_values_become_text_as_in_javascript(value: Any, expected: str) -> None:
    assert javascript.text(value) == expected


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        ("^a$", "a\n", False),
        ("a.c", "a\nc", False),
        ("a.c", "a\u2028c", False),
        ("a[^]c", "a\nc", True),
        ("a[]", "a", False),
        (r"\d", "٣", False),
        (r"\w", "é", False),
        (r"\s", "\u00a0", True),
        (r"[\s\S]", "\n", True),
        (r"[\d.-]+$", "1.-", True),
        ("[[]", "[", True),
        ("[a&&b]", "&", True),
        (r"(?<n>a)\k<n>", "aa", False),
        (r"(a)\1", "aa", False),
        ("(?i)a", "A", False),
        ("(?P<n>a)", "a", False),
        ("a++", "aa", False),
        ("a*+", "aa", False),
        ("a+?", "aa", True),
        ("a{2}", "aa", True),
        ("a{,2}", "a{,2}", True),
        ("{", "{", True),
        (r"é", "é", True),
        (r"\/", "/", True),
        (r"\cJ", "\n", True),
        ("(", "(", False),
        ("(?<=a)b", "ab", False),
        ("(?>a)", "a", False),
        (r"\-", "-", True),
        ("\\", "\\", False),
        (r"a\.b", "aXb", False),
    ],
)
def test_patterns_match_as_in_javascript(source: str, text: str, expected: bool) -> None:
    pattern = javascript_pattern.pattern(source)
    assert (pattern is not None and pattern.is_in(text)) is expected


FACTS = Facts(
    "user-1",
    {"plan": "pro", "email": "a@b.com", "empty": None},
    location={"country": '"Germany"', "city": "Bonn "},
    device={"os": "Mac OS", "browser_version": "126.0"},
    user_agent="Mozilla%20(Mac)",
    ip_address="203.0.113.7",
    known_flags=frozenset({1, 2}),
    flags_on=frozenset({2}),
)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Visitor(" user-1 ,x"), True),
        (Visitor("user-11"), False),
        (Attribute("missing", "matches", ".*"), False),
        (Attribute("empty", "matches", ".*"), False),
        (InList("email", list_id="l"), True),
        (InList("plan", list_id="l"), False),
        (InList("missing", list_id="l"), False),
        (InList("email", segment_id=5), False),
        (InList("empty", list_id="nulls"), True),
        (Location("country", "Germany"), True),
        (Location("country", "germany"), False),
        (Location("city", "Bonn"), True),
        (Location("region", "NRW"), False),
        (Device("os", "mac os"), True),
        (Device("os", "wildcard(mac*)"), True),
        (Device("os", "wildcard(*win*)"), False),
        (Device("device", "x"), False),
        (Device("browser_version", "gte(126)"), True),
        (Device("browser_version", "gt(126)"), False),
        (Device("os_version", "lt(9)"), False),
        (Device("ip_address", '"203.0.113.7"'), True),
        (Device("ua", "wildcard(*zilla (M*)"), True),
        (OtherFlag(2, "on"), True),
        (OtherFlag(1, "on"), False),
        (OtherFlag(1, "off"), True),
        (OtherFlag(9, "off"), False),
        (Not(OtherFlag(9, "on")), True),
    ],
)
def test_conditions_hold(condition: Condition, expected: bool) -> None:
    lists = {"l": {"a@b.com"}, "nulls": {"null"}}
    assert holds(condition, FACTS, in_list=lambda list_id, value: value in lists[list_id]) is expected


def test_a_user_property_cannot_be_decided() -> None:
    with pytest.raises(NotForFlags):
        holds(UserProperty("plan", "is", "pro"), FACTS, in_list=lambda _list, _value: True)

"""A condition on an attribute means what it says: to Node's client, its ES modules, Python's client, and to us.

What it says is told here by a few lines of Python. Where a client cannot be made to agree, the rule warns.
"""

import random
import re
from decimal import Decimal
from typing import Any

import pytest

from cairn.conditions import javascript
from cairn.conditions.tree import Attribute
from cairn.flags.model import Ruleset
from cairn.flags.settings_file import compile_settings
from tests.clients.cases.sdk import ACCOUNT, ServedGateway
from tests.clients.cases.test_our_rulesets import Ours, compiled, flag, rollout

pytestmark = pytest.mark.slow

OPERANDS: dict[str, list[str]] = {
    "is": [
        "1.2",
        "7up",
        "1.10",
        "1.10.0",
        "2.0.0",
        "7",
        "007",
        "0",
        "true",
        "abc",
        "5$",
        "1e5",
        "-0.5",
        "",
        "inf",
        "Nano",
    ],
    "is_ignoring_case": ["7UP", "1.2", "TRUE", "Abc", "5e", "1.2.3"],
    "contains": ["1.0", "1.2", "7", "0", "e", ".", "up", "inf", "T", "12"],
    "starts_with": ["1.0", "7", "t", "a", "0", "-", "1.2.", "f"],
    "ends_with": ["2.0.0", "7", "e", "up", "0", ".8", "5"],
    "matches": ["10|20", "5$", "^1\\.2", "7", "^t", "[a-z]$", "^\\d+$", "\\bup", "^[^a]*$", "^.?$", "-"],
    "greater": ["1.9", "0", "9.8", "18", "1.9.9", "1.2.1", "0.05", "100"],
    "at_least": ["1.10", "0", "1.2.3", "18", "9.75", "1.2.3.4"],
    "less": ["18", "0", "1.10.0", "9.8", "2", "0.5", "1.2.8.1"],
    "at_most": ["0", "2.0.0", "18", "1.2", "9.75"],
}
VALUES: list[Any] = [
    7,
    "7",
    "007",
    51,
    5,
    20,
    30,
    "10",
    1.1,
    "1.1",
    1.2,
    "1.2.8",
    "1.2.0",
    "1.5.2",
    "1.10.2",
    "1.10.0",
    "1.1.0",
    2.1,
    "2.0.0",
    "2.0",
    "1.2.3",
    "1.2.3.0",
    "7up",
    "7UP",
    "up 7",
    "",
    "abc",
    "Abc",
    "tea",
    True,
    False,
    "true",
    -0.5,
    "-0.5",
    -3,
    0,
    "0",
    "-0",
    18,
    17.9,
    "18.5",
    18.0,
    9.75,
    9.8,
    "9.80",
    1e21,
    1e-7,
    100000,
    "5$",
    "a5",
    "1e5",
    "é",
    "٣",
    [1, 2],
    ["a"],
    "1.2.",
    "..",
    "1_000",
    12345678,
    0.5,
    0.25,
    "line\n",
]
NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?\s*", re.ASCII)
VERSION = re.compile(r"\d+(\.\d+){2,}", re.ASCII)


def number(text: str) -> Decimal | None:
    return Decimal(text.strip()) if NUMBER.fullmatch(text) else None


def order(value: str, operand: str) -> int | None:
    """Numbers as numbers; as versions where either has two dots or more; None: not to be compared."""
    if not VERSION.fullmatch(value) and not VERSION.fullmatch(operand):
        left, right = number(value), number(operand)
        return None if left is None or right is None else (left > right) - (left < right)
    if not all(re.fullmatch(r"\d+(\.\d+)*", each, re.ASCII) for each in (value, operand)):
        return None
    parts = [list(map(int, each.split("."))) for each in (value, operand)]
    width = max(map(len, parts))
    ours, theirs = (part + [0] * (width - len(part)) for part in parts)
    return (ours > theirs) - (ours < theirs)


def says(rule: Attribute, value: Any) -> bool:
    text, wanted = javascript.text(value), rule.value
    match rule.operator:
        case "is":
            return order(text, wanted) == 0 or text == wanted or (wanted == "true" and text.lower() == wanted)
        case "is_ignoring_case":
            return order(text, wanted) == 0 or text.lower() == wanted.lower()
        case "contains":
            return wanted in text
        case "starts_with":
            return text.startswith(wanted)
        case "ends_with":
            return text.endswith(wanted)
        case "matches":
            return re.search(wanted.replace("$", r"\Z"), text, re.ASCII) is not None
    compared = order(text, wanted)
    if compared is None:
        return False
    return {
        "greater": compared > 0,
        "at_least": compared >= 0,
        "less": compared < 0,
        "at_most": compared <= 0,
    }[rule.operator]


def read_otherwise_by_python(rule: Attribute, value: Any) -> bool:
    """Before it compares, Python's client makes numbers of texts and words of other values; the guide says so."""
    if isinstance(value, bool) or not isinstance(value, str):
        return isinstance(value, list) or (isinstance(value, float) and "e" in javascript.text(value))
    try:
        read = float(value)
    except ValueError:
        return False
    shortest = str(int(read)) if read.is_integer() else str(read)
    textual = rule.operator in ("contains", "starts_with", "ends_with", "matches")
    return shortest != value and (
        textual or number(value) is None or "e" in value or VERSION.fullmatch(rule.value) is not None
    )


RULES = [Attribute("a", operator, operand) for operator, operands in OPERANDS.items() for operand in operands]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def ruleset() -> Ruleset:
    return Ruleset(ACCOUNT, flags=tuple(flag(at, rollout(at, rule)) for at, rule in enumerate(RULES, 1)))


def test_our_evaluation_means_what_rules_say(ruleset: Ruleset) -> None:
    ours = Ours(ruleset)
    wrong = [
        (rule.operator, rule.value, value)
        for at, rule in enumerate(RULES, 1)
        for value in VALUES
        if ours.ask(f"f{at}", {"id": "u", "customVariables": {"a": value}})[0] != says(rule, value)
        and not (isinstance(value, str) and "e" in value and number(value) is not None)
    ]
    assert wrong == []


@pytest.mark.parametrize("sdk", ["node", "esm", "python"])
def test_clients_mean_what_rules_say(gateway: ServedGateway, ruleset: Ruleset, sdk: str) -> None:
    pairs = [
        (at, rule, value)
        for at, rule in enumerate(RULES, 1)
        for value in VALUES
        if not (sdk == "python" and read_otherwise_by_python(rule, value))
        and not (isinstance(value, str) and "e" in value and number(value) is not None)
    ]
    if sdk == "python":  # it checks the whole file again for every question
        pairs = random.Random(7).sample(pairs, 500)
    questions = [
        {"key": f"f{at}", "context": {"id": "u", "customVariables": {"a": value}}} for at, _, value in pairs
    ]
    answers = gateway.ask(sdk, gateway.publish(**compiled(ruleset)), questions)
    wrong = [
        (rule.operator, rule.value, value)
        for (_, rule, value), answer in zip(pairs, answers, strict=True)
        if answer["enabled"] != says(rule, value)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("rule", "sdk", "says"),
    [
        (Attribute("v", "starts_with", "1.0"), "python", "007 as 7"),
        (Attribute("v", "matches", "^0"), "python", "007 as 7"),
        (Attribute("v", "at_least", "1.10.0"), "python", "1.10 as 1.1"),
        (Attribute("v", "is", "1234567890123456789"), "python", "15 digits"),
        (Attribute("v", "operand", "gt(9.8)"), "node", "part by part"),
        (Attribute("v", "operand", "regex((?=a)b)"), "node", "look-ahead"),
        (Attribute("v", "matches", "(a)\\1"), "node", "references to groups"),
    ],
)
def test_where_a_client_cannot_agree_the_rule_warns(rule: Attribute, sdk: Any, says: str) -> None:
    ruleset = Ruleset(ACCOUNT, flags=(flag(1, rollout(1, rule)),))
    (warning,) = compile_settings(ruleset, account_id=ACCOUNT, sdk=sdk, poll_interval_ms=60_000).warnings
    assert warning.startswith("flag 'f1', rule 'r1': 'v'")
    assert says in warning
    ours = Ours(ruleset)
    assert ours.ask("f1", {"id": "u", "customVariables": {"v": "aa"}}) is not None


def test_a_rule_without_such_doubt_does_not_warn() -> None:
    for rule in (
        Attribute("v", "matches", "^v\\d+$"),
        Attribute("v", "contains", "pro"),
        Attribute("v", "less", "18"),
    ):
        ruleset = Ruleset(ACCOUNT, flags=(flag(1, rollout(1, rule)),))
        for sdk in ("node", "python"):
            assert not compile_settings(
                ruleset, account_id=ACCOUNT, sdk=sdk, poll_interval_ms=60_000
            ).warnings  # type: ignore[arg-type]

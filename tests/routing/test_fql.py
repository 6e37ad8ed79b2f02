"""FQL: what a filter means, what is refused and how, and that the browser's own engine decides the same."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from cairn.routing.fql.browser import NotForBrowser, browser_ir
from cairn.routing.fql.evaluate import holds
from cairn.routing.fql.glob import Glob
from cairn.routing.fql.parse import LONGEST_BYTES, MOST_DEPTH, FqlRefused, parse
from tests.routing import random_fql
from tests.routing.node import run
from tests.wire.hostile import check_growth

BODY: dict[str, Any] = {
    "event": "Button Clicked",
    "type": "track",
    "userId": None,
    "context": {"library": {"name": "analytics.js", "version": "1.0"}},
    "properties": {
        "features": ["discounts", "dark-mode"],
        "product 1": {"price": "19.99"},
        "a.b": 1,
        "n": 5,
        "yes": True,
        "no": False,
        "one": "1",
        "empty": "",
        "list": [],
        "object": {"x": 1, "y": [2]},
        "same": {"x": 1, "y": [2]},
        "turned": {"y": [2], "x": 1},
        "Ünïcode$": "ÄÖ",
        "and": 3,
        "items": [{"sku": "a"}, {"sku": "b"}],
        "emoji": "a😀",
        "big": 2**53 + 1,
    },
}

# The reference's own examples first.
HOLDS: list[tuple[str, bool]] = [
    ("event = 'Button Clicked'", True),
    ("event = 'Screen Tapped'", False),
    ("context.path.path = '/login'", False),
    ("type = 'identify' or type = 'track'", True),
    ("event = 'Button Clicked' and type = 'track'", True),
    ("match( context.library.version, '1.*' )", True),
    ("match( context.library.version, '2.*' )", False),
    ("type = 'track' and ( event = 'Click' or match( event, 'Button *' ) )", True),
    ("!contains( context.library.name, 'js' )", False),
    ("'dark-mode' in properties.features", True),
    ("'blink' in properties.features", False),
    ("!( type in ['track', 'identify'] )", False),
    ("length( userId ) > 0", False),
    (r"properties.product\ 1.price = '19.99'", True),
    (r"properties.a\.b = 1", True),
    ("properties.a.b = 1", False),
    (r"properties.Ünïcode\$ = 'ÄÖ'".replace("Ü", r"\Ü").replace("ï", r"\ï"), True),
    ("properties.and = 3", True),
    ("properties.items.1.sku = 'b'", True),
    ("properties.items.2.sku = null", True),
    # types are strict
    ("properties.one = 1", False),
    ("properties.one = '1'", True),
    ("properties.n = 5.0", True),
    ("properties.yes = 1", False),
    ("properties.yes = true", True),
    ("properties.yes", True),
    ("properties.n", False),
    ("!properties.no", True),
    ("properties.gone", False),
    ("properties.big = 9007199254740992", True),
    # null is what is missing, too
    ("userId = null", True),
    ("properties.gone = null", True),
    ("properties.gone.far = null", True),
    ("properties.empty = null", False),
    ("properties.n != null", True),
    ("properties.gone = userId", True),
    ("properties.gone != properties.n", True),
    ("null = null", True),
    # order: numbers only
    ("properties.n > 4", True),
    ("properties.n >= 5 and properties.n <= 5 and !(properties.n < 5)", True),
    ("properties.one > 0", False),
    ("event > 'A'", False),
    ("properties.yes > 0", False),
    ("properties.gone < 1", False),
    ("-1 < +1.5", True),
    # and binds before or
    ("type = 'track' or type = 'x' and event = 'x'", True),
    ("(type = 'track' or type = 'x') and event = 'x'", False),
    ("!type = 'x'", True),
    ("!!properties.yes", True),
    # lists and objects
    ("properties.features = ['discounts', 'dark-mode']", True),
    ("properties.features = ['dark-mode', 'discounts']", False),
    ("properties.list = []", True),
    ("properties.object = properties.same", True),
    ("properties.object = properties.turned", False),
    ("properties.object in [null]", False),
    ("5 in [1, 5]", True),
    ("userId in ['a', null]", True),
    ("event in []", False),
    ("event in event", False),
    ("event in userId", False),
    # functions
    ("lowercase(event) = 'button clicked'", True),
    ("lowercase(properties.n) = null", True),
    ("contains(lowercase(event), 'button')", True),
    ("contains(properties.n, '5')", False),
    ("contains(event, '') = true", True),
    ("length(properties.features) = 2", True),
    ("length(properties.list) = 0", True),
    ("length(properties.gone) = 0", True),
    ("length(properties.n) = 1", False),
    ("length(properties.n) != 1", True),
    ("length(properties.emoji) = 3", True),
    ("typeof(event) = 'string'", True),
    ("typeof(properties.n) = 'number'", True),
    ('typeof(properties.yes) = "bool"', True),
    ("typeof(properties.list) = 'list'", True),
    ("typeof(properties.object) = 'object'", True),
    ("typeof(properties.gone) = 'null'", True),
    ("typeof(userId) != 'null'", False),
    ("typeof(event) in ['string', 'null']", True),
    ("match(userId, '*')", False),
    ("match(event, 'button*')", False),
    ("match(properties.n, '*')", False),
    ("true", True),
    ("false", False),
    ("event='Button Clicked'and type='track'", True),
    ('event = "it\'s"', False),
    ("\tevent\n=\r'Button Clicked' ", True),
]


@pytest.mark.parametrize(("text", "expected"), HOLDS, ids=[text for text, _ in HOLDS])
def test_a_filter_means_what_the_reference_says(text: str, expected: bool) -> None:
    assert holds(parse(text), BODY) is expected


@pytest.mark.parametrize(
    ("text", "position", "remedy"),
    [
        ("", 0, "empty"),
        ("   ", 0, "empty"),
        ("event", None, ""),
        ("event ==  'x'", 6, "write = instead of =="),
        ("event = 'x' && type = 'y'", 12, "write and instead of &&"),
        ("event = 'x' || type = 'y'", 12, "write or instead of ||"),
        ("event <> 'x'", 6, "write != instead of <>"),
        ("not event = 'x'", 0, "write ! instead of not"),
        ("event = 'x' AND type = 'y'", 12, "write and instead of AND"),
        ("event = 'x", 8, "closing '"),
        ("event = x y", 10, "expected and, or, or the end, not y"),
        ("event =", 7, "the filter ends here"),
        ("(event = 'x'", 12, "expected ) to close"),
        ("event = 'x')", 11, "expected and, or, or the end"),
        ("event & 'x'", 6, "'&' is not expected"),
        ("properties.$x = 1", 11, "a backslash before the '$'"),
        ("properties.é = 1", 11, "a backslash before the 'é'"),
        ("properties. = 1", 10, "'.' is not expected"),
        ("properties..a = 1", 10, "'.' is not expected"),
        ("1.2.3 = n", 0, "not a number"),
        ("5x = n", 0, "not a number"),
        ("n = " + "1" * 31, 4, "not a number"),
        ("upper(event) = 'X'", 0, "the functions are contains, match"),
        ("contains(event)", 14, "expected , and argument 2 of contains"),
        ("contains(event, 'a', 'b')", 19, "expected ) after the 2 argument(s)"),
        ("length(event)", 0, "compare it"),
        ("lowercase(event) and type = 'x'", 0, "compare it"),
        ("'text'", 0, "compare it"),
        ("[1]", 0, "compare it"),
        ("5 or 6", 0, "compare it"),
        ("event in 'x'", 9, "a list"),
        ("event in [event]", 10, "a list holds texts, numbers"),
        ("event in ['a' 'b']", 14, "expected , or ]"),
        ("event in ['a',]", 14, "a list holds"),
        ("typeof(event) = 'boolean'", 16, "one of 'string', 'number', 'bool'"),
        ("typeof(event) = 5", 16, "one of"),
        ("match(event, properties.x)", 13, "is a text"),
        ("match(event, '[a')", 13, "[ without its ]"),
        ("match(event, '[]')", 13, "write \\]"),
        ("match(event, 'a\\')", 13, "lone backslash"),
        ("match(event, '[-a]')", 13, "write \\-"),
        ("event = 'x' and", 15, "the filter ends here"),
        ("and = 'x'", 0, "expected a field"),
        ("!" * (MOST_DEPTH + 1) + "event", MOST_DEPTH, "levels deep"),
        ("(" * 100 + "event" + ")" * 100, MOST_DEPTH, "levels deep"),
        ("lowercase(" * 100 + "event" + ")" * 100 + " = 'x'", MOST_DEPTH * 10, "levels deep"),
        ("a" + ".a" * 40 + " = 1", 0, "at most 32 parts"),
        ("event = '" + "x" * LONGEST_BYTES + "'", LONGEST_BYTES, "at most 5120 bytes"),
        ("event = '" + "é" * (LONGEST_BYTES // 2) + "'", LONGEST_BYTES, "at most 5120 bytes"),
    ],
)
def test_what_is_no_filter_is_told_where_and_what_to_write(
    text: str, position: int | None, remedy: str
) -> None:
    if position is None:
        parse(text)
        return
    with pytest.raises(FqlRefused) as refused:
        parse(text)
    assert refused.value.position == position, str(refused.value)
    assert remedy in str(refused.value)
    assert str(refused.value).startswith(f"character {position + 1}: ")


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "parentheses": lambda size: b"(" * size,
    "brackets": lambda size: b"[" * size,
    "names": lambda size: b"a." * (size // 2),
    "backslashes": lambda size: b"\\" * size,
    "quotes": lambda size: b"'\"" * (size // 2),
    "conditions": lambda size: b" and ".join([b"a = 1"] * (size // 10)),
    "list": lambda size: b"a in [" + b",".join([b"1"] * (size // 2)) + b"]",
    "operators": lambda size: b"<" * size,
    "digits": lambda size: b"1" * size,
    "classes": lambda size: b"match(a, '" + b"[a-z]" * (size // 5) + b"')",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_reading_a_filter_costs_its_length(name: str) -> None:
    def work(text: bytes) -> object:
        try:
            return parse(text.decode())
        except FqlRefused:
            return None

    check_growth(work, lambda size: HOSTILE[name](size // 5))


@pytest.mark.parametrize("pattern", ["*a*a*a*a*a*a*b", "*" * 50 + "b", "[ab]*" * 20 + "c", "a?" * 40 + "*"])
def test_a_glob_costs_the_texts_length(pattern: str) -> None:
    glob = Glob(pattern)
    check_growth(lambda text: glob.matches(text.decode()), lambda size: b"a" * size * 10)


def both(cases: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, Any, bool, bool]]:
    """What we and the browser's engine decide, of those that it can."""
    exported = []
    for text, body in cases:
        try:
            exported.append((text, body, browser_ir(parse(text))))
        except NotForBrowser:
            continue
    decided = run("tsub.js", [(ir, body) for _, body, ir in exported])
    return [
        (text, body, holds(parse(text), body), theirs)
        for (text, body, _), theirs in zip(exported, decided, strict=True)
    ]


def test_the_browser_decides_the_references_cases_alike() -> None:
    compared = both([(text, BODY) for text, _ in HOLDS])
    assert [case for case in compared if case[2] is not case[3]] == []
    assert len(compared) > len(HOLDS) * 0.8


def test_the_browser_decides_random_filters_alike() -> None:
    source = random.Random(11)
    cases = [(random_fql.test(source), random_fql.event(source)) for _ in range(12_000)]
    compared = both(cases)
    assert [case for case in compared if case[2] is not case[3]] == []
    assert len(compared) > 9_000
    assert 0.2 < sum(ours for *_, ours, _ in compared) / len(compared) < 0.8


def test_the_browser_matches_random_globs_alike() -> None:
    source = random.Random(12)
    cases = []
    for _ in range(4_000):
        pattern = "".join(
            source.choices(
                ["*", "?", "a", "b", "[ab]", "[^a]", "[b-d]", r"\*", "😀", "é", "]"], k=source.randint(1, 4)
            )
        )
        text = "".join(source.choices("aaabcé😀*]", k=source.randint(0, 3)))
        cases.append((f'match(event, "{pattern}")', {"event": text}))
    compared = both(cases)
    assert len(compared) == len(cases)
    assert [case for case in compared if case[2] is not case[3]] == []
    assert sum(ours for *_, ours, _ in compared) > 100


@pytest.mark.parametrize(
    "text",
    [
        "'a' in properties.tags",
        "contains(lowercase(event), 'a')",
        "typeof(event) = typeof(userId)",
        r"properties.a\.b = 1",
        "properties.constructor = null",
        "properties.x.length = 1",
        "properties.x.0 = 'a'",
        "properties.x = ['length', 'a']",
        "type = 'track' and !('a' in properties.tags)",
    ],
)
def test_what_the_browser_would_decide_differently_needs_cloud_mode(text: str) -> None:
    with pytest.raises(NotForBrowser, match="cloud mode"):
        browser_ir(parse(text))

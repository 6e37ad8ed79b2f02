"""“Try it as somebody”: a pasted context is read as the flag SDKs read it, and no pattern can hold the core."""

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from cairn.analysis.exposures import LastExposure
from cairn.conditions.tree import EVERYBODY, Attribute, Condition, Device
from cairn.event import Kind
from cairn.flags.definition import NewFlag, create_flag, get_flag, set_flag_state
from cairn.flags.model import Allocation, Forced, Variation
from cairn.flags.rule_definition import NewRule, add_rule
from tests.web.conftest import NOW, Browser, World

NUMBERS = count()
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36"
)


class Flag:
    """A testing flag of variations `a` and `b` that is switched on."""

    def __init__(
        self, world: World, condition: Condition = EVERYBODY, *, forced: Condition | None = None
    ) -> None:
        self.key = f"tried-{next(NUMBERS)}"
        here = world.a.environment
        with world.core.writing() as connection:
            new = NewFlag(key=self.key, variations=(Variation(1, "a"), Variation(2, "b")))
            made = create_flag(connection, world.a.workspace_id, here.project_id, new, NOW).flag
            rule = NewRule(
                kind="testing",
                key="t",
                condition=condition,
                salt="s",
                allocations=(Allocation(1, 50), Allocation(2, 50)),
                whitelist=(Forced(2, forced),) if forced else (),
            )
            add_rule(connection, world.a.workspace_id, made.id, here.id, rule, NOW)
            set_flag_state(connection, world.a.workspace_id, made.id, here.id, True, NOW)


@pytest.fixture
def tried(world: World, owner: Browser) -> Iterator[Any]:
    def ask(flag: Flag, context: str | dict[str, Any]) -> str:
        text = context if isinstance(context, str) else json.dumps(context)
        page = owner.get(f"/env/{world.a.environment.id}/flags/{flag.key}", params={"context": text}).text
        return page.partition('id="tried"')[2].partition("</section>")[0]

    yield ask


def is_on(answer: str) -> bool:
    return ">on<" in answer


def test_a_long_context_is_read_whole(world: World, tried: Any) -> None:
    flag = Flag(world, Attribute("last", "is", "yes"))
    context = {"id": "u", "customVariables": {**{f"padding{n}": "x" * 20 for n in range(60)}, "last": "yes"}}
    assert len(json.dumps(context)) > 1_500
    assert is_on(tried(flag, context))
    assert "up to 4000 are read" in tried(flag, {"id": "u", "customVariables": {"x": "y" * 5_000}})


@pytest.mark.parametrize("name", ["variationTargetingVariables", "variation_targeting_variables"])
def test_whitelists_look_at_variables_of_their_own(world: World, tried: Any, name: str) -> None:
    flag = Flag(world, Attribute("plan", "is", "nobody's"), forced=Attribute("team", "is", "qa"))
    assert "whitelisted" in tried(flag, {"id": "u", name: {"team": "qa"}})
    assert not is_on(tried(flag, {"id": "u", "customVariables": {"team": "qa"}}))


@pytest.mark.parametrize(
    ("condition", "context", "expected"),
    [
        (Device("ua", "wildcard(*Chrome*)"), {"userAgent": CHROME}, True),
        (Device("ua", "wildcard(*Chrome*)"), {"user_agent": CHROME}, True),
        (Device("browser_string", "chrome"), {"userAgent": CHROME}, True),
        (Device("device_type", "desktop"), {"userAgent": CHROME}, True),
        (Device("device_type", "mobile"), {"userAgent": CHROME}, False),
        (
            Device("device_type", "mobile"),
            {"userAgent": CHROME, "_vwo": {"userAgent": {"device_type": "mobile"}}},
            True,
        ),
        (Device("ip_address", "203.0.113.7"), {"ipAddress": "203.0.113.7"}, True),
        (Device("ip_address", "203.0.113.7"), {"ip_address": "203.0.113.7"}, True),
        (Device("ip_address", "203.0.113.7"), {"ipAddress": "203.0.113.8"}, False),
    ],
)
def test_agent_and_address_are_asked_as_the_gateway_answers(
    world: World, tried: Any, condition: Condition, context: dict[str, Any], expected: bool
) -> None:
    assert is_on(tried(Flag(world, condition), {"id": "u", **context})) is expected


def test_a_seed_decides_in_the_ids_place(world: World, tried: Any) -> None:
    flag = Flag(world)
    shown = {seed: ">a<" in tried(flag, {"id": "same", "bucketingSeed": seed}) for seed in map(str, range(8))}
    assert set(shown.values()) == {True, False}
    as_ids = {seed: ">a<" in tried(flag, {"id": seed}) for seed in shown}
    assert shown == as_ids
    assert (">a<" in tried(flag, {"id": "same", "bucketingSeed": " "})) == (
        ">a<" in tried(flag, {"id": "same"})
    )


@pytest.mark.parametrize(
    ("context", "says"),
    [
        ("{", "not JSON"),
        ("[]", "is an object like"),
        ({"customVariables": {}}, "needs an &#34;id&#34;"),
        ({"id": "u", "customVariables": []}, "customVariables is an object"),
        ({"id": "u", "userAgent": 7}, "userAgent is a text"),
    ],
)
def test_a_context_no_sdk_would_take_is_told_so(world: World, tried: Any, context: Any, says: str) -> None:
    assert says in tried(Flag(world), context)


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|a)*b", "(.*)*x", "^(([a-z])+.)+[A-Z]([a-z])+$", "(x+x+)+y"]
)
def test_no_pattern_takes_more_than_linear_time(world: World, tried: Any, pattern: str) -> None:
    """A backtracking engine would still be at it tomorrow."""
    flag = Flag(world, Attribute("v", "matches", pattern))
    assert not is_on(tried(flag, {"id": "u", "customVariables": {"v": "a" * 3_000 + "!"}}))
    assert (
        not is_on(tried(flag, {"id": "u", "customVariables": {"v": "x" * 3_000 + "!"}}))
        or pattern == "(.*)*x"
    )


def test_what_a_rule_asks_for_and_the_context_lacks_is_named(world: World, tried: Any) -> None:
    flag = Flag(world, Attribute("your_custom_variable", "is", "x"))
    answer = tried(flag, {"id": "u", "customVariables": {"other": "x"}})
    assert "You pass <code>other</code>; the rules ask for" in answer
    assert "<code>your_custom_variable</code>" in answer
    assert "You pass no custom variable; the rules ask for" in tried(flag, {"id": "u"})
    assert "the rules ask for" not in tried(
        flag, {"id": "u", "customVariables": {"your_custom_variable": "y"}}
    )


def test_a_flag_says_who_changed_what_and_when_it_was_last_shown(world: World, owner: Browser) -> None:
    owner.get("/env/production/flags/new")
    owner.post("/env/production/flags/new", {"key": "told", "name": "Told", "do": "save"})
    page = owner.get("/env/production/flags/told").text
    assert "No SDK has reported" in page
    owner.post("/env/production/flags/told/toggle", {"on": "1"})
    with world.core.reading() as connection:
        flag_id = get_flag(connection, world.a.workspace_id, "told").flag.id
    with world.core.engine.begin() as connection:
        new = NewRule("rollout", "r", (Allocation(1),))
        rule = add_rule(connection, world.a.workspace_id, flag_id, world.a.environment.id, new, NOW)
    shown = {"campaign": rule.campaign, "variation": 1}  # as SDKs send it: without the flag
    world.event("vwo_variationShown", "ann", minutes_ago=3, kind=Kind.EXPOSURE, properties=shown)
    world.event(
        "vwo_variationShown", "ann", minutes_ago=1, kind=Kind.EXPOSURE, properties={"campaign": 10**6}
    )
    page = owner.get("/env/production/flags/told").text
    history = page.split("Who changed what")[1].split("</section>")[0]
    assert (
        history.count("owner@shop.test") >= 2
        and "created" in history
        and "switched on in Production" in history
    )
    assert "Last shown to somebody 3 min ago" in page
    assert world.core.questions.ask(world.b.environment.id, LastExposure(flag_id, (), NOW)) == 0

"""What a rule's audience and a test's whitelist may say, through the API."""

from typing import Any

import pytest

from tests.api.conftest import World


def _rule(world: World, key: str, condition: dict[str, Any], **more: Any) -> Any:
    path = f"/flags/{world.a.flag_key}/environments/production/rules"
    body = {
        "kind": "rollout",
        "key": key,
        "allocations": [{"variation_id": 1}],
        "condition": condition,
        **more,
    }
    return world.call("POST", path, json=body)


def _matches(pattern: str) -> dict[str, Any]:
    return {"type": "attribute", "name": "plan", "operator": "matches", "value": pattern}


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        (r"(a)\1", "references to groups"),
        (r"(?<n>a)\k<n>", "references to groups"),
        ("(?=a)b", "look-ahead"),
        ("(?<!a)b", "look-behind"),
        ("(?i)a", "flags inside a pattern"),
        ("(", "missing )"),
        ("[a", "without its ]"),
        ("a++", "nothing to repeat"),
        ("\\", "lone backslash"),
        ("a{1001}", "repeats more"),
        ("((a{100}){100})", "repetition"),
        ("(?:abcdefghij){300}", "repeats too much"),
        ("a" * 2_001, "2001 characters"),
    ],
)
def test_a_pattern_that_no_linear_engine_has_is_refused_at_its_field(
    world: World, pattern: str, says: str
) -> None:
    answer = _rule(world, "refused", _matches(pattern))
    assert answer.status_code == 422
    assert answer.json()["field"] == "value"
    assert says in answer.text


def test_a_segment_asks_with_the_same_patterns(world: World) -> None:
    for pattern, status in ((r"(a)\1", 422), ("(?=a)b", 422), ("(?:abcdefghij){300}", 422), ("(a+)+$", 201)):
        condition = {"type": "user_property", "key": "plan", "operator": "matches", "value": pattern}
        body = {"key": "patterned", "name": "Patterned", "condition": condition}
        answer = world.call("POST", "/segments", json=body)
        assert answer.status_code == status, answer.text
    world.call("DELETE", "/segments/patterned")


@pytest.mark.parametrize(
    "condition",
    [
        pytest.param({"type": "in_list", "attribute": "email", "segment_id": 0}, id="in a segment's list"),
        pytest.param(
            {"type": "not", "node": {"type": "in_list", "attribute": "email", "segment_id": 0}},
            id="not in one",
        ),
        pytest.param(
            {
                "type": "or",
                "nodes": [
                    {"type": "visitor", "ids": "a"},
                    {"type": "in_list", "attribute": "email", "segment_id": 0},
                ],
            },
            id="in one or named",
        ),
        pytest.param({"type": "other_flag", "flag_id": 0, "state": "on"}, id="another flag"),
        pytest.param({"type": "place", "key": "country", "value": "Germany"}, id="place"),
        pytest.param({"type": "device", "key": "os", "value": "ios"}, id="device"),
        pytest.param(_matches("^p"), id="pattern"),
    ],
)
def test_what_an_audience_may_say_a_whitelist_may_say(world: World, condition: dict[str, Any]) -> None:
    """A segment's list above all: its id is known only per environment, when the rule is compiled."""
    other = world.call("GET", "/flags").json()["flags"][0]
    condition = _filled(condition, world.a.segment_id, other["id"] if other["key"] != world.a.flag_key else 0)
    if condition.get("flag_id") == 0:
        made = world.call("POST", "/flags", json={"key": "asked-about"}).json()
        condition["flag_id"] = made["id"]
    flag = world.call(
        "POST",
        "/flags",
        json={"key": "whitelisted", "variations": [{"id": 1, "key": "a"}, {"id": 2, "key": "b"}]},
    ).json()
    path = "/flags/whitelisted/environments/production/rules"
    body = {
        "kind": "testing",
        "key": "t",
        "condition": condition,
        "allocations": [{"variation_id": 1, "weight": 50}, {"variation_id": 2, "weight": 50}],
        "whitelist": [{"variation_id": 2, "condition": condition}],
    }
    answer = world.call("POST", path, json=body)
    assert answer.status_code == 201, (answer.text, flag)
    world.call("DELETE", f"{path}/{answer.json()['id']}")


def _filled(node: Any, segment_id: int, flag_id: int) -> Any:
    if isinstance(node, list):
        return [_filled(each, segment_id, flag_id) for each in node]
    if not isinstance(node, dict):
        return node
    filled = {key: _filled(value, segment_id, flag_id) for key, value in node.items()}
    return filled | {
        key: value for key, value in (("segment_id", segment_id), ("flag_id", flag_id)) if key in node
    }

"""Transformations: what each kind does to a message, what is refused, and what a preview shows."""

import copy
import hashlib
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cairn.routing.decide import Discarded, decide
from cairn.routing.message import Message
from cairn.routing.outcome import Discard
from cairn.routing.paths import MISSING, parse_path, path_text, value_at, with_value, without
from cairn.routing.rules import Rules, RulesRefused, read_rules, rules_json
from cairn.routing.transformations import describe, preview
from tests.routing.messages import message
from tests.routing.test_decide import HEAP

PROPERTIES: dict[str, Any] = {
    "plan": "pro",
    "seats": "12",
    "price": 9.5,
    "deep": {"x": {"y": None}},
    "tags": ["a", None, 3],
    "items": [{"sku": "s1"}, {"sku": "s2"}],
    "product 1": True,
}


def rules(*steps: dict[str, Any]) -> Rules:
    return read_rules({"transformations": list(steps)})


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


STEPS = [
    (
        {"kind": "rename", "from": "plan", "to": "tier"},
        {"tier": "pro", "plan": MISSING},
        "Rename plan to tier.",
    ),
    ({"kind": "rename", "from": "deep.x", "to": "x.z"}, {"deep": {}, "x": {"z": {"y": None}}}, None),
    ({"kind": "rename", "from": "plan", "to": "plan.name"}, {"plan": {"name": "pro"}}, None),
    ({"kind": "rename", "from": "gone", "to": "plan"}, {"plan": "pro", "gone": MISSING}, None),
    ({"kind": "rename", "from": "plan", "to": "seats"}, {"seats": "pro", "plan": MISSING}, None),
    ({"kind": "drop", "path": "deep.x.y"}, {"deep": {"x": {}}}, "Remove deep.x.y."),
    ({"kind": "drop", "path": "items.sku"}, {"items": [{}, {}]}, None),
    ({"kind": "drop", "path": r"product\ 1"}, {"product 1": MISSING}, None),
    ({"kind": "drop", "path": "plan.x"}, {"plan": "pro"}, None),
    ({"kind": "hash", "path": "plan"}, {"plan": sha("pro")}, "Replace plan by its SHA-256."),
    (
        {"kind": "hash", "path": "plan", "salt": "s"},
        {"plan": sha("spro")},
        "Replace plan by its SHA-256 with a salt.",
    ),
    ({"kind": "hash", "path": "price"}, {"price": sha("9.5")}, None),
    ({"kind": "hash", "path": "tags"}, {"tags": [sha("a"), None, sha("3")]}, None),
    ({"kind": "hash", "path": "deep.x"}, {"deep": {"x": sha('{"y":null}')}}, None),
    ({"kind": "hash", "path": "deep.x.y"}, {"deep": {"x": {"y": None}}}, None),
    ({"kind": "hash", "path": "gone"}, {"gone": MISSING}, None),
    (
        {"kind": "set", "path": "new.a", "value": [1, None]},
        {"new": {"a": [1, None]}},
        "Set new.a to [1,null].",
    ),
    ({"kind": "set", "path": "plan.a", "value": 1}, {"plan": {"a": 1}}, None),
    ({"kind": "set", "path": "items.1.sku", "value": "x"}, {"items": [{"sku": "s1"}, {"sku": "x"}]}, None),
    ({"kind": "set", "path": "items.9.sku", "value": "x"}, {"items": PROPERTIES["items"]}, None),
    ({"kind": "set", "path": "plan", "value": None}, {"plan": None}, "Set plan to null."),
    (
        {"kind": "copy", "from": "deep", "to": "again"},
        {"again": {"x": {"y": None}}, "deep": {"x": {"y": None}}},
        None,
    ),
    ({"kind": "copy", "from": "gone", "to": "plan"}, {"plan": "pro"}, "Copy gone to plan."),
    ({"kind": "cast", "path": "seats", "to": "number"}, {"seats": 12}, None),
    ({"kind": "cast", "path": "plan", "to": "number"}, {"plan": "pro"}, None),
    ({"kind": "cast", "path": "price", "to": "text"}, {"price": "9.5"}, None),
    (
        {"kind": "cast", "path": "tags", "to": "text"},
        {"tags": '["a",null,3]'},
        "Make tags a text where it can be read as one.",
    ),
    ({"kind": "cast", "path": "product\\ 1", "to": "number"}, {"product 1": 1}, None),
    ({"kind": "cast", "path": "gone", "to": "text"}, {"gone": MISSING}, None),
]


def placed(step: dict[str, Any]) -> dict[str, Any]:
    """With its paths inside `properties`."""
    return {
        name: f"properties.{value}"
        if name in ("from", "to", "path") and step["kind"] + name != "castto"
        else value
        for name, value in step.items()
    }


@pytest.mark.parametrize(("step", "expected", "sentence"), STEPS)
def test_each_kind(step: dict[str, Any], expected: dict[str, Any], sentence: str | None) -> None:
    made = rules(placed(step))
    sent = message(properties=PROPERTIES)
    before = copy.deepcopy(sent)
    decided = decide(sent, made, HEAP)
    assert isinstance(decided, Message)
    assert sent == before  # nothing is changed in place
    after = decided.body["properties"]
    assert {name: after.get(name, MISSING) for name in expected} == expected
    untouched = set(PROPERTIES) - set(expected) - {"plan", "deep"}
    assert {name: after[name] for name in untouched} == {name: PROPERTIES[name] for name in untouched}
    [only] = made.transformations
    if sentence:
        assert describe(only).replace("properties.", "") == sentence


@pytest.mark.parametrize(
    ("value", "to", "expected"),
    [
        (" -1.50 ", "number", -1.5),
        ("1e3", "number", 1000.0),
        ("1e999", "number", "1e999"),
        ("9" * 31, "number", "9" * 31),
        ("١٢", "number", "١٢"),
        ("", "number", ""),
        (False, "number", 0),
        ([1], "number", [1]),
        ("TRUE", "boolean", True),
        ("0", "boolean", False),
        ("yes", "boolean", "yes"),
        (1, "boolean", True),
        (2, "boolean", 2),
        (1e21, "text", "1e+21"),
        (True, "text", "true"),
        ({"a": 1.0}, "text", '{"a":1}'),
    ],
)
def test_a_cast_leaves_what_it_cannot_read(value: Any, to: str, expected: Any) -> None:
    made = rules({"kind": "cast", "path": "properties.value", "to": to})
    decided = decide(message(properties={"value": value}), made, HEAP)
    assert isinstance(decided, Message)
    cast = decided.body["properties"]["value"]
    assert (type(cast), cast) == (type(expected), expected)


def test_steps_are_applied_in_their_order_and_where_their_condition_holds() -> None:
    made = rules(
        {"kind": "copy", "from": "userId", "to": "properties.user"},
        {"kind": "hash", "path": "userId", "condition": "type = 'track'"},
        {"kind": "set", "path": "event", "value": "Renamed"},
        {"kind": "set", "path": "properties.late", "value": 1, "condition": "event = 'Renamed'"},
        {"kind": "drop", "path": "properties", "condition": "event = 'Plan Chosen'"},
        {"kind": "drop", "path": "properties", "is_enabled": False},
    )
    decided = decide(message(), made, HEAP)
    assert isinstance(decided, Message)
    assert decided.body["properties"] == {"user": "u-77", "late": 1}
    assert (decided.user_id, decided.event) == (sha("u-77"), "Renamed")


def test_a_sample_drops_and_says_so() -> None:
    decided = decide(message(), rules({"kind": "sample", "percent": 0, "path": "userId"}), HEAP)
    assert decided == Discarded(
        Discard.DROPPED_BY_TRANSFORMATION, "Keep 0 % of the events, decided by userId."
    )
    half = rules({"kind": "sample", "percent": 50, "path": "userId", "condition": "type = 'track'"})
    kept = [isinstance(decide(message(userId=f"u-{number}"), half, HEAP), Message) for number in range(300)]
    assert 110 < sum(kept) < 190


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        ({"kind": "upper", "path": "a"}, "transformations[0].kind: invalid value 'upper'"),
        ({"kind": "drop"}, "transformations[0]: object missing required field `path`"),
        ({"kind": "drop", "path": ""}, "transformations[0]: a path is empty"),
        ({"kind": "drop", "path": "a."}, "transformations[0].path: 'a.' is not a path"),
        ({"kind": "drop", "path": "a", "to": "b"}, "transformations[0]: object contains unknown field `to`"),
        ({"kind": "set", "path": "type", "value": 1}, "transformations[0]: type: a message keeps its type"),
        ({"kind": "hash", "path": "messageId"}, "a message keeps its messageId"),
        ({"kind": "rename", "from": "timestamp", "to": "a"}, "a message keeps its timestamp"),
        ({"kind": "rename", "from": "a", "to": "type.x"}, "a message keeps its type"),
        ({"kind": "copy", "from": "a", "to": "a.b"}, "transformations[0]: to: a.b is inside a"),
        ({"kind": "set", "path": "a", "value": "x" * 2_001}, "transformations[0]: value: is over 2000 bytes"),
        ({"kind": "set", "path": "a", "value": [[[[[[[[[1]]]]]]]]]}, "is nested more than 8 levels deep"),
        ({"kind": "cast", "path": "a", "to": "date"}, "transformations[0].to: invalid enum value 'date'"),
        ({"kind": "sample", "percent": -1}, "transformations[0].percent: expected `float` >= 0"),
        ({"kind": "drop", "path": "a", "condition": "a ="}, "transformations[0].condition: character 4"),
        ({"kind": "hash", "path": "a", "salt": "x" * 201}, "transformations[0].salt"),
    ],
)
def test_what_is_no_transformation_is_refused_by_name(step: dict[str, Any], complaint: str) -> None:
    with pytest.raises(RulesRefused, match=re.escape(complaint)):
        rules(step)


def test_transformations_are_stored_as_they_are_read() -> None:
    stored = [placed(step) for step, *_ in STEPS]
    stored += [{"kind": "drop", "path": "a", "condition": "event = 'x'", "is_enabled": False}]
    for step in stored:
        assert rules_json(read_rules({"transformations": [step]})) == {"transformations": [step]}


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(
            [
                step
                for number in range(25)
                for step in (
                    {"kind": "copy", "from": "properties", "to": f"traits.c{number}"},
                    {"kind": "copy", "from": "traits", "to": f"properties.c{number}"},
                )
            ],
            id="copies of copies",
        ),
        pytest.param(
            [{"kind": "rename", "from": "properties", "to": "properties" + ".x" * 31}] * 50, id="ever deeper"
        ),
    ],
)
def test_steps_that_would_make_an_event_ever_larger_drop_it(steps: list[dict[str, Any]]) -> None:
    decided = decide(message(properties={"a": "x" * 1_000}), rules(*steps), HEAP)
    assert isinstance(decided, Discarded) and decided.reason is Discard.DROPPED_BY_TRANSFORMATION
    [shown] = preview(rules(*steps).transformations, [message(properties={"a": "x" * 1_000})])
    assert shown[-1].after is None and len(shown) < 50


def test_a_preview_shows_each_step_and_where_it_ends() -> None:
    made = rules(
        {"kind": "set", "path": "properties.a", "value": 1},
        {"kind": "drop", "path": "properties.gone"},
        {"kind": "sample", "percent": 0, "condition": "userId = 'u-1'"},
        {"kind": "drop", "path": "properties.a"},
    )
    first, second = preview(made.transformations, [message(userId="u-1"), message(userId="u-2")])
    assert [(step.sentence, step.is_changed, step.after is None) for step in first] == [
        ("Set properties.a to 1.", True, False),
        ("Remove properties.gone.", False, False),
        ("Where userId = 'u-1': Keep 0 % of the events.", True, True),
    ]
    assert [step.is_changed for step in second] == [True, False, False, True]
    assert "properties" not in first[0].before
    assert second[-1].after is not None and second[-1].after["properties"] == {}


# Paths

names = st.text(min_size=1, max_size=4)
bodies = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(names, bodies, max_size=4)
paths = st.lists(names, min_size=1, max_size=4).map(tuple)


@given(paths)
def test_a_path_is_read_as_it_is_written(path: tuple[str, ...]) -> None:
    assert parse_path(path_text(path)) == path


@settings(max_examples=200)
@given(objects, paths, bodies)
def test_what_is_put_somewhere_is_there_and_what_is_taken_is_gone(
    body: dict[str, Any], path: tuple[str, ...], value: Any
) -> None:
    before = json.dumps(body)
    put = with_value(body, path, value)
    through_list = any(isinstance(value_at(body, path[:length]), list) for length in range(1, len(path)))
    assert through_list or value_at(put, path) == value
    taken = without(put, path)
    assert value_at(taken, path) is MISSING or isinstance(value_at(put, path[:-1]), list)
    assert json.dumps(body) == before

"""Tracking plans: bounded JSON Schema, what becomes of events that break a plan, and plans made of what was seen."""

import random
import re
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from cairn.event import Refused
from cairn.routing.json_schema import (
    MOST_BYTES,
    MOST_DEPTH,
    MOST_PARTS,
    MOST_VIOLATIONS,
    SchemaRefused,
    read_schema,
    violations,
)
from cairn.routing.message import Message
from cairn.routing.plan import (
    PlanChecker,
    PlanRefused,
    plan_json,
    planned_events,
    read_plan,
    violation_event,
)
from cairn.routing.seen_events import MOST_EVENTS, MOST_PROPERTIES, Seen, add_seen, plan_from_seen
from tests.routing.messages import message
from tests.wire.hostile import check_growth

ORDER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "properties": {
            "type": "object",
            "required": ["total", "currency"],
            "properties": {
                "total": {"type": "number", "minimum": 0},
                "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
                "items": {
                    "type": "array",
                    "maxItems": 3,
                    "items": {
                        "type": "object",
                        "properties": {"sku": {"type": "string"}},
                        "required": ["sku"],
                    },
                },
                "address": {"type": "object", "properties": {"city": {"type": ["string", "null"]}}},
                "free": {"type": "object"},
            },
        },
        "context": {"properties": {"locale": {"enum": ["de", "fr"]}}},
    },
}


def plan(**choices: Any) -> PlanChecker:
    return read_plan({"name": "Shop", "rules": [{"key": "Order", "schema": ORDER}], **choices})


def order(properties: dict[str, Any] | None = None, **fields: Any) -> Message:
    return message(event="Order", properties={"total": 5, "currency": "EUR", **(properties or {})}, **fields)


VIOLATIONS = [
    pytest.param({}, [], id="as planned"),
    pytest.param(
        {"total": "5"}, [("Invalid Type", "properties.total", "is string; expected number")], id="type"
    ),
    pytest.param({"total": -1}, [("Invalid Value", "properties.total", "is beyond minimum 0")], id="minimum"),
    pytest.param(
        {"currency": "euro"},
        [("Invalid Value", "properties.currency", "does not match the pattern")],
        id="pattern",
    ),
    pytest.param(
        {"items": [{"sku": "a"}, {}, {"sku": 1}]},
        [
            ("Required", "properties.items.1.sku", "is required"),
            ("Invalid Type", "properties.items.2.sku", "is number; expected string"),
        ],
        id="in an array",
    ),
    pytest.param(
        {"address": {"city": None}, "free": {"x": 1}}, [], id="null where it is allowed, free objects"
    ),
    pytest.param(
        {"address": {"city": 5}},
        [("Invalid Type", "properties.address.city", "is number; expected string or null")],
        id="several types",
    ),
    pytest.param(
        {"colour": 1, "address": {"zip": 1}},
        [
            ("Unplanned Property", "properties.colour", "is not in the plan"),
            ("Unplanned Property", "properties.address.zip", "is not in the plan"),
        ],
        id="unplanned",
    ),
]


@pytest.mark.parametrize(("properties", "expected"), VIOLATIONS)
def test_violations_are_in_segments_vocabulary(properties: dict[str, Any], expected: list[Any]) -> None:
    verdict = plan().check(order(properties))
    assert verdict.message is not None and verdict.message.body == order(properties).body  # only warned about
    assert [(found.type, found.field, found.description) for found in verdict.violations] == [
        (kind, field, f"{field} {said}") for kind, field, said in expected
    ]


def test_what_is_required_is_named() -> None:
    verdict = plan().check(message(event="Order", properties={}))
    assert [(found.type, found.description) for found in verdict.violations] == [
        ("Required", "properties.total is required"),
        ("Required", "properties.currency is required"),
    ]


def test_unplanned_properties_are_omitted_and_named_in_the_context() -> None:
    sent = order({"colour": 1, "total": "x", "address": {"zip": 1, "city": "Oslo"}})
    verdict = plan(on_unplanned_property="omit").check(sent)
    assert verdict.message is not None
    assert verdict.message.body["properties"] == {
        "total": "x",
        "currency": "EUR",
        "address": {"city": "Oslo"},
    }
    assert verdict.omitted == ("properties.colour", "properties.address.zip")
    assert verdict.message.body["context"]["protocols"] == {"omitted": list(verdict.omitted)}
    assert len(verdict.violations) == 3


def test_properties_that_break_the_schema_are_omitted() -> None:
    sent = order({"total": "x", "items": [{"sku": 1}], "colour": 1}, context={"locale": "en"})
    verdict = plan(on_violation="omit").check(sent)
    assert verdict.message is not None
    assert verdict.message.body["properties"] == {"currency": "EUR", "colour": 1}
    assert set(verdict.omitted) == {"properties.total", "properties.items"}
    assert verdict.message.body["context"]["locale"] == "en"  # the client's own


def test_events_that_break_the_schema_are_blocked() -> None:
    blocking = plan(on_violation="block")
    assert blocking.check(order({"total": "x"})).message is None
    assert blocking.check(message(event="Order", properties={})).message is None
    assert blocking.check(order({"colour": 1})).message is not None  # unplanned is another choice


def test_unplanned_events_are_warned_about_or_blocked() -> None:
    [found] = plan().check(message(event="Other")).violations
    assert found.type == "Unplanned Event"
    assert found.description == "track 'Other' is not in the plan, or not in this version"
    assert plan().check(message(event="Other")).message is not None
    assert plan(on_unplanned_event="block").check(message(event="Other")).message is None


def test_kinds_that_a_plan_does_not_have_pass() -> None:
    page = message(type="page", event=None, name="Home")
    assert plan(on_unplanned_event="block").check(page).violations == ()
    rules = [{"kind": "page", "key": "Home", "schema": {"properties": {"properties": {"required": ["url"]}}}}]
    pages = read_plan({"name": "Pages", "rules": rules, "on_unplanned_event": "block"})
    assert [
        found.field for found in pages.check(message(type="page", name="Home", properties={})).violations
    ] == ["properties.url"]
    assert pages.check(message(type="page", name="Away")).message is None
    every = read_plan(
        {"name": "Pages", "rules": [{"kind": "page", "schema": True}], "on_unplanned_event": "block"}
    )
    assert every.check(message(type="page", name="Away")).message is not None


def test_an_event_names_its_version_and_has_the_first_otherwise() -> None:
    rules = [
        {"key": "Order", "schema": {"properties": {"properties": {"required": ["a"]}}}},
        {"key": "Order", "version": 2, "schema": {"properties": {"properties": {"required": ["b"]}}}},
    ]
    checker = read_plan({"name": "Two", "rules": rules})

    def required(**context: Any) -> list[str]:
        sent = message(event="Order", properties={}, context=context)
        return [found.description for found in checker.check(sent).violations]

    assert required() == ["properties.a is required"]
    assert required(protocols={"event_version": 2}) == ["properties.b is required"]
    assert required(protocols={"event_version": "2"}) == ["properties.a is required"]
    assert required(protocols={"event_version": 3}) == [
        "track 'Order' is not in the plan, or not in this version"
    ]
    with pytest.raises(PlanRefused, match="same version twice"):
        read_plan({"name": "Two", "rules": [rules[0], rules[0]]})


def test_a_violation_becomes_segments_event() -> None:
    checker, sent = plan(), order({"total": "x"})
    [found] = checker.check(sent).violations
    assert violation_event(found, sent, checker.plan) == {
        "eventMessageID": sent.message_id,
        "eventName": "Order",
        "eventSentAt": None,
        "eventTimestamp": sent.body["timestamp"],
        "eventType": "track",
        "sourceID": "3",
        "trackingPlanName": "Shop",
        "violationDescription": "properties.total is string; expected number",
        "violationField": "properties.total",
        "violationType": "Invalid Type",
    }


def test_a_plan_is_stored_as_it_is_read_and_names_its_events() -> None:
    stored = {
        "name": "Shop",
        "rules": [{"schema": ORDER, "key": "Order", "version": 2}, {"schema": True, "kind": "identify"}],
        "on_violation": "omit",
    }
    checker = read_plan(stored)
    assert plan_json(checker.plan) == stored
    assert planned_events(checker.plan) == {"Order"}


# Schemas


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        pytest.param(
            {"$ref": "http://x.test/s.json"}, "schema: $ref is not supported", id="remote reference"
        ),
        pytest.param({"properties": {"a": {"$ref": "#"}}}, "schema.properties.a: $ref", id="recursion"),
        pytest.param({"definitions": {}}, "definitions is not supported", id="definitions"),
        pytest.param({"if": {}}, "'if' is no keyword that is checked here", id="unknown keyword"),
        pytest.param({"type": "text"}, "schema.type: expected one or several of", id="type"),
        pytest.param({"type": [1]}, "schema.type", id="types"),
        pytest.param({"pattern": "(a+)+\\1"}, "schema.pattern: references to groups", id="back-reference"),
        pytest.param({"pattern": "a(?=b)"}, "schema.pattern: look-ahead", id="look-ahead"),
        pytest.param({"pattern": "(a{1000}){1000}"}, "schema.pattern: ", id="a pattern bomb"),
        pytest.param({"pattern": 5}, "schema.pattern: expected text", id="pattern type"),
        pytest.param({"properties": []}, "schema.properties: expected an object", id="properties"),
        pytest.param({"required": "a"}, "schema.required: expected an array of names", id="required"),
        pytest.param({"enum": "a"}, "schema.enum: expected an array", id="enum"),
        pytest.param({"minimum": "1"}, "schema.minimum: expected a number", id="minimum"),
        pytest.param({"anyOf": []}, "schema.anyOf: expected an array of schemas", id="any of nothing"),
        pytest.param({"anyOf": [5]}, "schema.anyOf[0]: expected an object", id="not a schema"),
        pytest.param({"items": [{}]}, "schema.items: expected an object", id="items by place"),
        pytest.param(5, "schema: expected an object, true or false", id="a number"),
        pytest.param(nested(MOST_DEPTH), "nested more than 40 levels deep", id="deep"),
        pytest.param(nested(900), "nested more than 40 levels deep", id="a nesting bomb"),
        pytest.param({"title": "x" * MOST_BYTES}, "at most 32000 are accepted", id="long"),
        pytest.param({"anyOf": [{}] * MOST_PARTS}, "over 1000 parts", id="wide"),
        pytest.param({"anyOf": [{"anyOf": [{}] * 40}] * 30}, "over 1000 parts", id="a product"),
    ],
)
def test_a_schema_that_could_cost_or_is_not_understood_is_refused_at_its_part(
    schema: Any, complaint: str
) -> None:
    with pytest.raises(SchemaRefused, match=re.escape(complaint)):
        read_schema(schema)
    with pytest.raises(PlanRefused, match=r"^rules\[0\].schema: "):
        read_plan({"name": "Bad", "rules": [{"key": "a", "schema": schema}]})


def random_schema(source: random.Random, depth: int = 0) -> Any:
    types = ["string", "number", "integer", "boolean", "object", "array", "null"]

    def inner() -> Any:
        return random_schema(source, depth + 1)

    parts: dict[str, Callable[[], Any]] = {
        "type": lambda: source.choice([source.choice(types), source.sample(types, k=2)]),
        "properties": lambda: {name: inner() for name in source.sample("abc", k=2)},
        "required": lambda: source.sample("abc", k=source.randint(0, 2)),
        "additionalProperties": inner,
        "items": inner,
        "enum": lambda: [random_value(source) for _ in range(3)],
        "const": lambda: random_value(source),
        "pattern": lambda: source.choice(["^a", "b$", "[ab]+", r"^\d*$"]),
        "minLength": lambda: source.randint(0, 2),
        "maxLength": lambda: source.randint(0, 2),
        "minimum": lambda: source.randint(-1, 2),
        "exclusiveMaximum": lambda: source.randint(-1, 2),
        "maxItems": lambda: source.randint(0, 2),
        "minProperties": lambda: source.randint(0, 2),
        "uniqueItems": lambda: source.choice([True, False]),
        "anyOf": lambda: [inner(), inner()],
        "oneOf": lambda: [inner(), inner()],
        "allOf": lambda: [inner(), inner()],
        "not": inner,
    }
    if depth > 2 or source.random() < 0.1:
        return source.choice([True, True, False, {"type": source.choice(types)}])
    return {keyword: parts[keyword]() for keyword in source.sample(sorted(parts), k=source.randint(1, 3))}


def random_value(source: random.Random, depth: int = 0) -> Any:
    if depth < 3 and source.random() < 0.5:
        if source.random() < 0.4:
            return [random_value(source, depth + 1) for _ in range(source.randint(0, 3))]
        return {
            name: random_value(source, depth + 1) for name in source.sample("abcd", k=source.randint(0, 3))
        }
    return source.choice(["", "a", "ab", "b", "12", 0, 1, 1.0, 2.5, -1, True, False, None])


def test_schemas_mean_what_json_schema_says() -> None:
    source = random.Random(31)
    differing, valid = [], 0
    for _ in range(6_000):
        schema, value = random_schema(source), random_value(source)
        theirs = jsonschema.Draft7Validator(schema).is_valid(value)
        valid += theirs
        if theirs is not (violations(read_schema(schema), value) == []):
            differing.append((schema, value))
    assert differing == []
    assert 1_500 < valid < 4_500


def test_an_event_has_so_many_violations_listed() -> None:
    schema = read_schema({"items": {"type": "string"}})
    assert len(violations(schema, list(range(1_000)))) == MOST_VIOLATIONS


def test_omitting_properties_costs_the_events_length() -> None:
    checker = plan(on_unplanned_property="omit", on_violation="omit")

    def work(names: bytes) -> object:
        sent = order().with_body({**order().body, "properties": dict.fromkeys(names.decode().split(","), 1)})
        verdict = checker.check(sent)
        assert verdict.message is not None and verdict.message.body["properties"] == {}
        return verdict

    check_growth(work, lambda size: b",".join(b"k%d" % number for number in range(size // 4)))


def test_checking_an_event_costs_its_length() -> None:
    schema: Any = {"type": "string", "pattern": "^(a|aa)*b$", "enum": ["x"]}
    for _ in range(8):
        schema = {
            "anyOf": [{"items": schema}, {"uniqueItems": True, "items": {"not": {"pattern": "(a*)*c"}}}]
        }
    read = read_schema(schema)

    def work(text: bytes) -> object:
        return violations(read, [text.decode()[:100]] * (len(text) // 100))

    check_growth(work, lambda size: b"a" * size)


# Plans of what was seen


def test_a_plan_is_made_of_what_was_seen() -> None:
    seen: Seen = {}
    add_seen(
        seen,
        [
            message(
                event="Order",
                properties={
                    "total": 5 if number % 2 else 5.5,
                    "note": None if number % 3 else "x",
                    "address": {"city": "Oslo", **({"zip": 1} if number == 7 else {})},
                    **({"rare": [1]} if number == 3 else {}),
                },
            )
            for number in range(25)
        ],
    )
    add_seen(
        seen,
        [message(event="Once", properties={"a": True}), message(type="identify", traits={"plan": "pro"})],
    )
    add_seen(seen, [message(type="alias", previousId="x"), message(event="Bare")])
    made = plan_from_seen("Seen", seen)
    schemas = {(rule.kind, rule.key): rule.json_schema.data["properties"] for rule in made.rules}
    assert list(schemas) == [("identify", ""), ("track", "Bare"), ("track", "Once"), ("track", "Order")]
    assert schemas["track", "Order"]["properties"] == {
        "type": "object",
        "properties": {
            "address": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "zip": {"type": "number"}},
                "required": ["city"],
            },
            "note": {"type": ["null", "string"]},
            "rare": {"type": "array"},
            "total": {"type": "number"},
        },
        "required": ["address", "note", "total"],
    }
    assert schemas["track", "Once"] == {
        "properties": {"type": "object", "properties": {"a": {"type": "boolean"}}}
    }
    assert schemas["identify", ""]["traits"]["properties"] == {"plan": {"type": "string"}}
    assert schemas["track", "Bare"] == {"properties": {"type": "object"}}
    assert planned_events(made) == {"Order", "Once", "Bare"}


def test_what_was_seen_keeps_its_own_plan() -> None:
    source = random.Random(41)
    sent = [
        message(event=source.choice("ab"), properties={"v": random_value(source), "w": random_value(source)})
        for _ in range(400)
    ]
    seen: Seen = {}
    add_seen(seen, sent)
    stored = plan_json(plan_from_seen("Seen", seen))
    checker = read_plan({**stored, "on_unplanned_event": "block", "on_violation": "block"})
    broken = [verdict for made in sent if (verdict := checker.check(made)).violations]
    assert [
        found for verdict in broken for found in verdict.violations if found.type != "Unplanned Property"
    ] == []
    assert all(
        len(found.path) > 4 for verdict in broken for found in verdict.violations
    )  # deeper than is proposed


def test_a_sender_who_makes_up_names_fills_no_memory() -> None:
    seen: Seen = {}
    add_seen(seen, [message(event=f"e{number}") for number in range(MOST_EVENTS + 50)])
    assert len(seen) == MOST_EVENTS
    seen = {}
    for number in range(30):
        names = {f"{'é' * 150}{number}-{place}": {f"{place}": {}} for place in range(20)}
        add_seen(seen, [message(event="a", properties=names)])
    [found] = seen.values()
    assert len(found.counts) <= MOST_PROPERTIES + 1
    [rule] = plan_from_seen("Many", seen).rules
    assert not isinstance(rule, Refused) and rule.key == "a"

"""Mappings: which messages a connection sends, and what fills their fields."""

import json
import random
import re
from typing import Any

import pytest

from cairn.routing.catalogue import destination
from cairn.routing.decide import Discarded, decide
from cairn.routing.destination import Destination
from cairn.routing.fql.evaluate import holds
from cairn.routing.fql.parse import parse
from cairn.routing.message import Message
from cairn.routing.outcome import Discard
from cairn.routing.rules import Rules, RulesRefused, check_rules, read_rules, rules_json
from tests.routing.destinations.sending import NOW, configured
from tests.routing.messages import message
from tests.routing.node import run
from tests.routing.test_decide import HEAP

ACTIONS = destination("heap_cloud_actions")


def rules(*mappings: dict[str, Any]) -> Rules:
    return read_rules({"mappings": [{"trigger": "true", **mapping} for mapping in mappings]})


def sent(made: Message, chosen: Rules, to: Destination = HEAP) -> Any:
    """The message, or the detail of its reason."""
    decided = decide(made, chosen, to)
    if isinstance(decided, Discarded):
        assert decided.reason is Discard.NO_MATCHING_MAPPING
        return decided.detail
    return decided


def test_without_mappings_a_message_is_sent_as_it_is() -> None:
    made = message()
    assert sent(made, rules()) is made


def test_the_first_mapping_whose_trigger_holds_counts() -> None:
    chosen = rules(
        {"trigger": "event = 'Plan Chosen'", "fields": {"mark": "off"}, "is_enabled": False},
        {"trigger": "event = 'Plan Chosen'", "fields": {"mark": "first"}},
        {"trigger": "type = 'track'", "fields": {"mark": "second"}},
    )
    assert sent(message(), chosen).body["mark"] == "first"
    assert sent(message(event="Other"), chosen).body["mark"] == "second"
    only = rules({"trigger": "event = 'Other'"})
    assert sent(message(), only) == "the trigger of no mapping holds for this event"


def test_fields_fill_members_of_the_message_and_leave_the_rest() -> None:
    fields = {
        "userId": {"@path": "$.traits.email"},
        "event": {"@template": "{{event}} ({{properties.plan}})"},
        "properties": {
            "items": {"@arrayPath": ["$.properties.items", {"id": {"@path": "$.sku"}}]},
            "none": {"@path": "$.gone"},
            "null": {"@path": "$.properties.nothing"},
            "currency": {"@if": {"exists": {"@path": "$.properties.currency"}, "else": "EUR"}},
        },
        "context": {"@path": "$.gone"},
    }
    made = message(
        traits={"email": "a@b.test"},
        context={"locale": "de"},
        properties={"plan": "pro", "items": [{"sku": 1}, {"sku": 2}], "nothing": None},
    )
    filled = sent(made, rules({"fields": fields}))
    assert filled.body["properties"] == {"items": [{"id": 1}, {"id": 2}], "null": None, "currency": "EUR"}
    assert (filled.user_id, filled.event) == ("a@b.test", "Plan Chosen (pro)")
    assert "context" not in filled.body  # filled by nothing, so there is none
    assert filled.body["traits"] == {"email": "a@b.test"} and filled.body["messageId"] == made.message_id
    assert made.body["context"] == {"locale": "de"}


def test_a_mapping_that_finds_nothing_says_so() -> None:
    fields = {"properties": {"@path": "$.gone"}, "event": {"@path": "$.properties.name"}}
    assert (
        sent(message(), rules({"fields": fields, "name": "Names"}))
        == "mapping Names: finds nothing in this event"
    )


@pytest.mark.parametrize("to", [HEAP, ACTIONS], ids=["a destination without presets", "one with presets"])
def test_a_mapping_that_would_make_an_event_much_larger_says_so(to: Destination) -> None:
    fields = {"properties": {f"p{number}": {"@path": "$"} for number in range(300)}}
    made = message(properties={"text": "x" * 20_000})
    assert sent(made, rules({"fields": fields, "name": "Many"}), to) == (
        "mapping Many: makes over 1000000 bytes of this event"
    )


def test_fields_of_a_preset_are_filled_otherwise_and_the_others_stay() -> None:
    chosen = rules(
        {
            "trigger": "type = 'track'",
            "fields": {"identity": {"@path": "$.userId"}, "event": {"@template": "Shop: {{event}}"}},
        }
    )
    check_rules(chosen, ACTIONS)
    made = sent(message(properties={"seats": 3}), chosen, ACTIONS)
    [request] = ACTIONS.prepare([made], configured(ACTIONS, app_id="11"), NOW)
    [event] = json.loads(request.call.body)["events"]
    assert (event["event"], event["user_identifier"]) == ("Shop: Plan Chosen", {"identity": "u-77"})
    assert event["custom_properties"]["seats"] == "3"
    page = message(type="page", event=None, name="Home")
    assert sent(page, chosen, ACTIONS) == "the trigger of no mapping holds for this event"


@pytest.mark.parametrize(
    ("mapping", "complaint"),
    [
        ({"trigger": "type ="}, "mappings[0].trigger: character 7: expected a field"),
        ({"fields": {"a": {"@paht": "x"}}}, "mappings[0]: fields.a: @paht is not a directive"),
        ({"fields": {"@path": "$.event"}}, "mappings[0]: fields: expected names of fields"),
        ({"fields": {"a": "x" * 8_000}}, "mappings[0]: fields: are over 8000 bytes"),
        ({"fields": []}, "mappings[0].fields: expected `object`"),
        ({"preset": "x"}, "mappings[0]: object contains unknown field `preset`"),
    ],
)
def test_a_mapping_of_another_form_is_refused_by_name(mapping: dict[str, Any], complaint: str) -> None:
    with pytest.raises(RulesRefused, match=re.escape(complaint)):
        rules(mapping)


def test_fields_that_a_destination_does_not_have_are_refused() -> None:
    with pytest.raises(
        RulesRefused, match=re.escape("mappings[0].fields: idenity: Heap Cloud (Actions) has no such")
    ):
        check_rules(rules({"fields": {"idenity": 1}}), ACTIONS)
    with pytest.raises(RulesRefused, match=r"mappings\[1\].fields: messageId: a message keeps its messageId"):
        check_rules(rules({}, {"fields": {"messageId": 1}}), HEAP)
    check_rules(rules({"fields": {"anything": 1}}), HEAP)


def test_mappings_are_stored_as_they_are_read() -> None:
    stored = {"mappings": [{"trigger": "type = 'track'", "fields": {"a": {"@path": "$.b"}}, "name": "n"}]}
    assert rules_json(read_rules(stored)) == stored


# Triggers, beside the engine of Segment's Actions

NAMES = ["a", "Plan Chosen", "Plan", "x", ""]


def subscription(source: random.Random) -> str:
    """In the words of the vendor's editor: conditions joined by one of `and`, `or`, and groups of the same.

    No function stands in a group: the vendor's parser ends a group at the first `)`, also at a function's.
    """

    def condition(*, with_functions: bool = True) -> str:
        field = source.choice(
            ["type", "event", "name", "userId", "properties.plan", "traits.a.b", "context.page.path"]
        )
        number = source.choice(["properties.seats", "traits.n"])
        comparisons = [
            f'{field} = "{source.choice(["track", "identify", *NAMES])}"',
            f'{field} != "{source.choice(NAMES)}"',
            f"{source.choice(['userId', 'name', 'properties.plan', 'properties.seats'])} "
            f"{source.choice(['=', '!='])} null",
            f"properties.flag = {source.choice(['true', 'false'])}",
            f"{number} {source.choice(['=', '<', '<=', '>', '>='])} {source.choice(['1', '2.5', '3'])}",
        ]
        functions = [
            f'contains({source.choice(["event", "properties.plan"])}, "{source.choice(["a", "Plan", "n"])}")',
            f'match({source.choice(["event", "traits.a.b"])}, "{source.choice(["Pl*", "*n", "*sen"])}")',
            '!contains(event, "Plan")',
            '!match(event, "*n")',
        ]
        return source.choice([*comparisons, *functions] if with_functions else comparisons)

    def joined(parts: list[str]) -> str:
        return source.choice([" and ", " or "]).join(parts)

    group = f"({joined([condition(with_functions=False) for _ in range(source.randint(2, 3))])})"
    return joined([source.choice([condition(), condition(), group]) for _ in range(source.randint(1, 3))])


def event(source: random.Random) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": source.choice(["track", "identify"]),
        "event": source.choice(NAMES),
        "properties": {
            "plan": source.choice([*NAMES, None, 5]),
            "seats": source.choice([1, 2.5, 3, "3", None]),
            "flag": source.choice([True, False, "true", None]),
        },
        "traits": {"a": {"b": source.choice(NAMES)}, "n": source.choice([1, 3, "1"])},
        "context": {"page": {"path": source.choice(NAMES)}},
        "userId": source.choice([None, *NAMES]),
        "name": source.choice(NAMES),
    }
    for name in source.sample(sorted(made["properties"]), k=source.randint(0, 2)):
        del made["properties"][name]
    return made


def test_triggers_are_decided_as_segments_actions_do() -> None:
    source = random.Random(21)
    cases = [(subscription(source), event(source)) for _ in range(8_000)]
    theirs = run("subscriptions.js", cases)
    ours = [holds(parse(text), body) for text, body in cases]
    differing = [
        (text, body) for (text, body), one, other in zip(cases, ours, theirs, strict=True) if one is not other
    ]
    assert differing == []
    assert 2_000 < sum(ours) < 6_000


@pytest.mark.parametrize(
    ("text", "body"),
    [
        pytest.param("properties.n != 5", {"properties": {}}, id="not a number"),
        pytest.param("!contains(properties.plan, 'a')", {"properties": {}}, id="does not contain"),
        pytest.param("!match(properties.plan, 'a*')", {"properties": {"plan": 5}}, id="does not begin with"),
    ],
)
def test_a_negation_holds_for_what_is_missing_as_in_every_filter(text: str, body: dict[str, Any]) -> None:
    """The vendor's two engines differ here: its Actions want a value to be there."""
    assert holds(parse(text), body) and run("subscriptions.js", [(text, body)]) == [False]

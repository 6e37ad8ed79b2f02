"""Whether a message goes to a destination: contracts/segment.md section 4, step 6, in its order."""

from typing import Any

import pytest

from cairn.event import Refused
from cairn.http_client import Call
from cairn.routing import integrations
from cairn.routing.decide import STEP_NAMES, STEPS, Discarded, decide, trace
from cairn.routing.destination import Destination, Request
from cairn.routing.destinations import heap_builtin
from cairn.routing.message import Message
from cairn.routing.outcome import Discard
from cairn.routing.rules import Rules, RulesRefused, read_rules, rules_json
from cairn.wire.segment import parse_segment
from cairn.wire.segment_call import CheckedCall
from tests.routing.messages import message
from tests.wire.arrivals import arrival

HEAP = Destination(
    "heap",
    "Heap",
    "",
    (),
    lambda messages, *_: [Request(Call("POST", "http://h"), ())],
    kinds=frozenset({"track"}),
)
STORAGE = Destination("pg", "PostgreSQL", "", (), HEAP.prepare, integration="Postgres", is_storage=True)


def reason(made: Message, rules: Rules | None = None, destination: Destination = HEAP) -> Discard | None:
    """None: it is sent."""
    decided = decide(made, rules or Rules(), destination)
    return decided.reason if isinstance(decided, Discarded) else None


CONSENT = {"categoryPreferences": {"Analytics": True, "Advertising": False, "Odd": "true"}}


@pytest.mark.parametrize(
    ("context", "categories", "is_sent"),
    [
        pytest.param(None, ["Analytics"], True, id="nobody is asked"),
        pytest.param({"consent": None}, ["Analytics"], True, id="a null is no consent object"),
        pytest.param({"consent": CONSENT}, [], True, id="the connection needs none"),
        pytest.param({"consent": CONSENT}, ["Analytics"], True, id="agreed"),
        pytest.param({"consent": CONSENT}, ["Advertising"], False, id="declined"),
        pytest.param({"consent": CONSENT}, ["Analytics", "Advertising"], False, id="all are needed"),
        pytest.param({"consent": CONSENT}, ["Unheard"], False, id="of another name"),
        pytest.param({"consent": CONSENT}, ["analytics"], False, id="of another case"),
        pytest.param({"consent": CONSENT}, ["Odd"], False, id="only true agrees"),
        pytest.param({"consent": {"categoryPreferences": {}}}, ["Analytics"], False, id="empty"),
        pytest.param({"consent": {"categoryPreferences": {}}}, [], True, id="empty, none needed"),
        pytest.param({"consent": {}}, ["Analytics"], False, id="without preferences"),
        pytest.param({"consent": "all"}, ["Analytics"], False, id="not an object"),
        pytest.param({"consent": {"categoryPreferences": ["Analytics"]}}, ["Analytics"], False, id="a list"),
    ],
)
def test_consent(context: Any, categories: list[str], is_sent: bool) -> None:
    found = reason(message(context=context), Rules(consent=tuple(categories)))
    assert found is (None if is_sent else Discard.FILTERED_BY_CONSENT)


INTEGRATIONS = [
    pytest.param(None, True, id="none"),
    pytest.param({}, True, id="empty"),
    pytest.param({"Heap": True}, True, id="named"),
    pytest.param({"Heap": False}, False, id="blocked"),
    pytest.param({"Heap": {}}, True, id="an empty object allows"),
    pytest.param({"Heap": {"x": 1}}, True, id="options"),
    pytest.param({"All": False}, False, id="all blocked"),
    pytest.param({"All": {}}, True, id="all by an object"),
    pytest.param({"All": False, "Heap": True}, True, id="only this"),
    pytest.param({"All": False, "Heap": {}}, True, id="only this, by an object"),
    pytest.param({"All": True, "Heap": False}, False, id="all but this"),
    pytest.param({"All": False, "heap": True}, False, id="names are case-sensitive"),
    pytest.param({"all": False}, True, id="All is too"),
    pytest.param({"Mixpanel": False}, True, id="another"),
    pytest.param({"Heap": None}, False, id="null"),
]


@pytest.mark.parametrize(("sent", "is_sent"), INTEGRATIONS)
def test_the_integrations_object(sent: Any, is_sent: bool) -> None:
    found = reason(message(integrations=sent))
    assert found is (None if is_sent else Discard.FILTERED_BY_INTEGRATIONS)


@pytest.mark.parametrize(("sent", "is_sent"), INTEGRATIONS)
@pytest.mark.parametrize("is_shared", [False, True], ids=["of the call", "of the batch"])
def test_the_built_in_analytics_read_it_alike(sent: Any, is_sent: bool, is_shared: bool) -> None:
    call = {"type": "track", "event": "e", "userId": "u"}
    body = (
        {"batch": [call], "integrations": sent} if is_shared else {"batch": [{**call, "integrations": sent}]}
    )
    [checked] = parse_segment(arrival("segment", body))
    assert isinstance(checked, CheckedCall)
    assert isinstance(heap_builtin.deliver(checked), Refused) is not is_sent


def test_raw_storage_is_blocked_by_its_own_name_alone() -> None:
    assert reason(message(integrations={"All": False}), destination=STORAGE) is None
    named = message(integrations={"All": True, "Postgres": False})
    assert reason(named, destination=STORAGE) is Discard.FILTERED_BY_INTEGRATIONS


@pytest.mark.parametrize(
    ("sent", "event", "is_sent"),
    [
        pytest.param(None, "Plan Chosen", False, id="off"),
        pytest.param({"All": True}, "Plan Chosen", False, id="All is not explicit"),
        pytest.param({"Heap": True}, "Plan Chosen", True, id="an explicit value wins"),
        pytest.param({"Heap": {"x": 1}}, "Plan Chosen", True, id="so do options"),
        pytest.param(None, "plan chosen", True, id="another name"),
        pytest.param(None, "On", True, id="on"),
    ],
)
def test_an_events_switch(sent: Any, event: str, is_sent: bool) -> None:
    rules = Rules(events={"Plan Chosen": False, "On": True})
    found = reason(message(integrations=sent, event=event), rules)
    assert found is (None if is_sent else Discard.FILTERED_BY_EVENT_SWITCH)


def test_switches_are_of_track_calls() -> None:
    page = message(type="page", event=None, name="Plan Chosen")
    assert reason(page, Rules(events={"Plan Chosen": False}), STORAGE) is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"_metadata": {"bundled": ["Heap"]}}, Discard.SENT_BY_BROWSER, id="by the browser"),
        pytest.param({"_metadata": {"bundled": ["heap"]}}, Discard.UNSUPPORTED_TYPE, id="another name"),
        pytest.param({"_metadata": {"bundled": "Heap"}}, Discard.UNSUPPORTED_TYPE, id="no list"),
        pytest.param(
            {"_metadata": {"bundled": ["Heap"], "bundledIds": ["dst_1"]}},
            Discard.SENT_BY_BROWSER,
            id="another's",
        ),
        pytest.param(
            {"_metadata": {"bundled": ["Heap"], "bundledIds": ["connection/7"]}},
            Discard.UNSUPPORTED_TYPE,
            id="the built-in's library sent it to the built-in alone",
        ),
        pytest.param({"type": "page"}, Discard.UNSUPPORTED_TYPE, id="type"),
        pytest.param({"type": "track"}, Discard.FILTERED_BY_CONSENT, id="consent"),
        pytest.param({"type": "track", "context": {}}, Discard.FILTERED_BY_INTEGRATIONS, id="integrations"),
        pytest.param(
            {"type": "track", "context": {}, "integrations": {}},
            Discard.FILTERED_BY_EVENT_SWITCH,
            id="event switch",
        ),
    ],
)
def test_the_first_reason_in_segments_order_counts(fields: dict[str, Any], expected: Discard) -> None:
    wrong = {"type": "page", "context": {"consent": {}}, "integrations": {"All": False}, **fields}
    rules = Rules(consent=("Analytics",), events={"Plan Chosen": False})
    assert reason(message(wrong), rules) is expected


def test_names_without_a_destination_are_warned_about() -> None:
    sent = {"All": False, "Segment.io": True, "Heap": True, "heap": True, "Nobody": 1, "all": True}
    assert integrations.warnings(sent, ["Heap", "Webhook"]) == [
        "integrations.heap: names are case-sensitive; write 'Heap'",
        "integrations.Nobody: no destination has this name, so it has no effect",
        "integrations.all: names are case-sensitive; write 'All'",
    ]
    assert integrations.warnings("x", ["Heap"]) == []


def test_options_are_those_of_the_name() -> None:
    assert integrations.options({"Heap": {"a": 1}}, "Heap") == {"a": 1}
    assert integrations.options({"Heap": True}, "Heap") == integrations.options(None, "Heap") == {}


def test_rules_are_stored_as_they_are_read() -> None:
    stored = {"events": {"Plan Chosen": False}, "consent": ["Analytics"]}
    assert rules_json(read_rules(stored)) == stored
    assert rules_json(read_rules({})) == {}


@pytest.mark.parametrize(
    ("stored", "field"),
    [({"events": []}, "events"), ({"consent": [1]}, "consent[0]"), ([], ""), ({"filter": []}, "")],
)
def test_rules_of_another_form_name_the_field(stored: Any, field: str) -> None:
    with pytest.raises(RulesRefused) as refused:
        read_rules(stored)
    assert refused.value.field.startswith(field)


def test_a_trace_shows_what_each_step_made_of_a_message() -> None:
    rules = read_rules(
        {
            "filters": [{"condition": "true", "action": "drop_properties", "properties": ["properties.a"]}],
            "transformations": [{"kind": "sample", "percent": 0}],
        }
    )
    made = message(properties={"a": 1})
    steps = trace(made, rules, HEAP)
    assert [(step.name, step.is_changed) for step in steps] == [
        ("Sent by the browser", False),
        ("Type of the call", False),
        ("Consent", False),
        ("Integrations object", False),
        ("Event switches", False),
        ("Filters", True),
        ("Transformations", True),
    ]
    assert isinstance(steps[5].result, Message) and steps[5].result.body["properties"] == {}
    assert steps[-1].result == decide(made, rules, HEAP)
    assert steps[-1].details == ("Keep 0 % of the events.",) and steps[5].details == ()
    assert list(STEP_NAMES) == list(STEPS)

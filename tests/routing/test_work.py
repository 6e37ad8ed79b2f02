"""No message costs a connection's rules more than its length, and none that a parser takes stops them."""

from typing import Any

import pytest

from cairn.routing.decide import decide, trace
from cairn.routing.message import Message
from cairn.routing.plan import read_plan
from cairn.routing.rules import read_rules
from cairn.routing.seen_events import Seen, add_seen, plan_from_seen
from cairn.routing.transformations import preview
from tests.routing.messages import messages
from tests.routing.test_decide import STORAGE
from tests.wire.hostile import JSON, Hostile, check_growth

RULES = read_rules(
    {
        "consent": ["Analytics"],
        "events": {"e": True},
        "filters": [
            {
                "condition": "contains(lowercase(properties.a), 'x') or match(event, '*a*b*c*')",
                "action": "sample",
            },
            {"condition": "length(properties) > 5 or typeof(traits.a) = 'list' or properties = traits"},
            {"condition": "properties.k in properties.list and properties != null"},
            {"condition": "true", "action": "sample", "percent": 99.9, "path": "properties"},
            {"condition": "true", "action": "drop_properties", "properties": ["properties.k0", "traits.a.b"]},
            {
                "condition": "true",
                "action": "allow_properties",
                "properties": ["context.page", "context.traits"],
            },
        ],
        "transformations": [
            {"kind": "copy", "from": "properties", "to": "traits.all"},
            {"kind": "hash", "path": "properties.tags"},
            {"kind": "cast", "path": "properties.deep", "to": "text"},
            {"kind": "rename", "from": "traits", "to": "context.traits"},
        ],
        "mappings": [
            {
                "trigger": "type = 'track' or type = 'identify'",
                "fields": {
                    "properties": {"@arrayPath": ["$.properties.products", {"sku": {"@path": "$.sku"}}]},
                    "event": {"@template": "{{event}} {{properties.a}} {{userId}}"},
                },
            }
        ],
    }
)
PLAN = read_plan(
    {
        "name": "Plan",
        "on_violation": "omit",
        "on_unplanned_property": "omit",
        "rules": [
            {
                "schema": {
                    "properties": {
                        "properties": {
                            "properties": {"a": {"enum": [1, {"b": 2}]}, "k0": {"pattern": "^(a|aa)+$"}},
                            "uniqueItems": True,
                        }
                    }
                }
            }
        ],
    }
)


def decided(body: bytes) -> list[Any]:
    made = [found for found in messages(body) if isinstance(found, Message)]
    seen: Seen = {}
    add_seen(seen, made)
    plan_from_seen("Seen", seen)
    preview(RULES.transformations, made)
    return [(decide(each, RULES, STORAGE), trace(each, RULES, STORAGE), PLAN.check(each)) for each in made]


@pytest.mark.parametrize("hostile", JSON.values(), ids=JSON)
def test_rules_cost_the_length_of_what_was_sent(hostile: Hostile) -> None:
    check_growth(decided, hostile)

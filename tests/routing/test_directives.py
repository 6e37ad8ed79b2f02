"""Mappings as Segment's Actions write them."""

from typing import Any

import pytest
from msgspec import UNSET

from cairn.routing.directives import MappingRefused, check_mapping, resolve

SOURCE = {
    "event": "Order Completed",
    "userId": None,
    "properties": {
        "plan": "Pro",
        "n": 3,
        "ok": False,
        "items": [{"sku": "a"}, {"sku": "b"}],
        "a b": {"c": 1},
    },
}


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        pytest.param("text", "text", id="a value"),
        pytest.param({"@path": "$.event"}, "Order Completed", id="path"),
        pytest.param({"@path": "event"}, "Order Completed", id="path without the dollar"),
        pytest.param({"@path": "$"}, SOURCE, id="everything"),
        pytest.param({"@path": "$.properties.items[1].sku"}, "b", id="place in an array"),
        pytest.param({"@path": "$.properties.items.0.sku"}, "a", id="place between dots"),
        pytest.param({"@path": "$.properties['a b'].c"}, 1, id="quoted key"),
        pytest.param({"@path": "$.properties.items[9].sku"}, UNSET, id="past the end"),
        pytest.param({"@path": "$.event.x"}, UNSET, id="into text"),
        pytest.param({"@path": "$.userId"}, None, id="null is kept"),
        pytest.param(
            {"x": {"@path": "$.none"}, "y": {"@path": "$.userId"}}, {"y": None}, id="absent is left out"
        ),
        pytest.param([{"@path": "$.none"}, 1], [1], id="absent in an array"),
        pytest.param(
            {"@if": {"exists": {"@path": "$.properties.ok"}, "then": 1, "else": 2}}, 1, id="false exists"
        ),
        pytest.param({"@if": {"exists": {"@path": "$.userId"}, "then": 1, "else": 2}}, 2, id="null does not"),
        pytest.param({"@if": {"exists": {"@path": "$.none"}, "then": 1}}, UNSET, id="no else"),
        pytest.param({"@if": {"blank": {"@path": "$.properties.ok"}, "else": 2}}, 2, id="false is blank"),
        pytest.param({"@if": {"blank": [], "then": 1, "else": 2}}, 2, id="an empty array is blank"),
        pytest.param({"@if": {"blank": ["a"], "then": 1, "else": 2}}, 1, id="an array is not blank"),
        pytest.param({"@if": {"exists": {"@path": "$.none"}, "else": None}}, UNSET, id="else of nothing"),
        pytest.param({"@if": {"exists": {"@path": "$.none"}, "else": {}}}, {}, id="else of an empty object"),
        pytest.param({"@if": {"blank": "", "then": 1, "else": 2}}, 2, id="blank"),
        pytest.param(
            {"@if": {"exists": 1, "then": {"@path": "$.properties.n"}}}, 3, id="a directive in a directive"
        ),
        pytest.param({"@literal": {"a": 1}}, {"a": 1}, id="literal"),
        pytest.param(
            {"@arrayPath": ["$.properties.items", {"id": {"@path": "$.sku"}, "n": {"@path": "$.none"}}]},
            [{"id": "a"}, {"id": "b"}],
            id="array path",
        ),
        pytest.param(
            {"@arrayPath": ["$.properties['a b']", {"x": {"@path": "$.c"}}]},
            [{"x": 1}],
            id="array path of an object",
        ),
        pytest.param({"@template": "{{{event}}}-{{{ none }}}"}, "Order Completed-", id="three braces"),
        pytest.param({"@path": "$.userId.name"}, None, id="through null"),
        pytest.param({"@path": "$.properties.ok.name"}, False, id="through what is false"),
        pytest.param({"@path": "$.properties.n.name"}, UNSET, id="through a number"),
        pytest.param(
            {"@arrayPath": ["$.properties.items"]}, SOURCE["properties"]["items"], id="array as it is"
        ),
        pytest.param(
            {"@arrayPath": ["$.event", {"x": {"@path": "$"}}]}, "Order Completed", id="array path of text"
        ),
        pytest.param({"@arrayPath": ["$.none", {"x": 1}]}, UNSET, id="array path of nothing"),
        pytest.param(
            {"@arrayPath": [{"@path": "$.properties.items"}, {"x": {"@template": "{{sku}}!"}}]},
            [{"x": "a!"}, {"x": "b!"}],
            id="array path of a directive",
        ),
        pytest.param(
            {
                "@template": "{{event}}: {{ properties.plan }} {{properties.n}}{{properties.ok}}{{none}}{{properties}}"
            },
            "Order Completed: Pro 3false",
            id="template",
        ),
        pytest.param({"@template": "{{{{event}}}} {{}} {{"}, "{Order Completed} {{}} {{", id="odd template"),
        pytest.param(
            {"@case": {"operator": "upper", "value": {"@path": "$.properties.plan"}}}, "PRO", id="case"
        ),
        pytest.param({"@case": {"operator": "lower", "value": 5}}, 5, id="case of a number"),
    ],
)
def test_a_mapping_gives(mapping: Any, expected: Any) -> None:
    check_mapping(mapping)
    assert resolve(mapping, SOURCE) == expected


@pytest.mark.parametrize(
    ("mapping", "field"),
    [
        pytest.param({"a": {"@paht": "$.event"}}, "mapping.a", id="unknown directive"),
        pytest.param({"a": [{"@path": 5}]}, "mapping.a[0]", id="path that is no text"),
        pytest.param({"@path": "$.a", "b": 1}, "mapping", id="not alone"),
        pytest.param({"@if": {"then": 1}}, "mapping", id="if without a test"),
        pytest.param({"@if": 1}, "mapping", id="if that is no object"),
        pytest.param({"@case": {"operator": "swap", "value": "x"}}, "mapping", id="unknown case"),
        pytest.param({"@path": "x" * 501}, "mapping", id="long path"),
        pytest.param({"@arrayPath": "$.a"}, "mapping", id="array path that is no array"),
        pytest.param({"@arrayPath": [1, {}]}, "mapping", id="array path without a path"),
        pytest.param({"@arrayPath": [{"@literal": [1, 2]}, {"x": 1}]}, "mapping", id="an array of its own"),
        pytest.param(
            {"@arrayPath": ["$.a", {"x": {"@no": 1}}]}, "mapping.@arrayPath[1].x", id="in an element"
        ),
        pytest.param({"@if": {"exists": 1, "then": {"@no": 1}}}, "mapping.@if.then", id="inner directive"),
    ],
)
def test_a_mapping_that_is_wrong_is_refused_at_its_field(mapping: Any, field: str) -> None:
    with pytest.raises(MappingRefused) as caught:
        check_mapping(mapping)
    assert caught.value.field == field


def test_a_mapping_has_limited_depth_and_a_template_limited_length() -> None:
    mapping: Any = 1
    for _ in range(1_000):
        mapping = {"a": mapping}
    with pytest.raises(MappingRefused, match="20 levels"):
        check_mapping(mapping)
    assert len(resolve({"@template": "{{x}}" * 90}, {"x": "y" * 30_000})) == 32_768

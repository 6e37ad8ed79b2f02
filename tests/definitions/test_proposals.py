"""What the labeller proposes (contract/proposals.json) is understood here, and matches what it was proposed for."""

import json
from pathlib import Path
from typing import Any

import pytest

from cairn.conditions.tree import PropertyFilter
from cairn.definitions.shapes import ShapeTest, meant
from cairn.event import Element
from cairn.wire.heap_event import element_of_nodes
from cairn.wire.heap_message import ElementNode

CONTRACT = json.loads((Path(__file__).parents[2] / "contract" / "proposals.json").read_text())
CASES = [pytest.param(case, id=case["name"]) for case in CONTRACT["cases"]]
WITHIN = {"node_name": "svg", "attributes": {}}


def element_of(nodes: list[dict[str, Any]]) -> Element:
    """As the browser sends it: the address of a link stands in the hierarchy too."""
    whole = [
        node | {"attributes": node["attributes"] | ({"href": node["href"]} if "href" in node else {})}
        for node in nodes
    ]
    element = element_of_nodes([ElementNode(**node) for node in whole], "")
    assert element is not None
    return element


def shape_test(selector: str, text: str) -> ShapeTest:
    return ShapeTest(selector, (PropertyFilter("text", "is", text),) if text else ())


@pytest.mark.parametrize("case", CASES)
def test_each_proposal_matches_its_element(case: dict[str, Any]) -> None:
    element = element_of(case["nodes"])
    for selector, text in case["expect"]:
        assert meant(shape_test(selector, text), element), selector
        assert not meant(shape_test(selector, text), Element("@p;|", "p", text="Something else")), selector


@pytest.mark.parametrize("case", [case for case in CASES if case.values[0]["inside"]])
def test_a_click_on_what_is_inside_counts(case: dict[str, Any]) -> None:
    inner = element_of([WITHIN, *case["nodes"]])
    for selector, text in case["expect"]:
        assert meant(shape_test(selector, text), inner), selector

"""Masking on the server: the cases it shares with the browser script."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn.wire.masking import SECRET_NAME, cut, mask_text, mask_url

CASES = json.loads((Path(__file__).parents[2] / "contract" / "privacy.json").read_text())
RULES = {"mask_text": mask_text, "mask_url": mask_url}


@pytest.mark.parametrize(
    ("rule", "case"),
    [pytest.param(rule, case, id=f"{rule}: {case['name']}") for rule in RULES for case in CASES[rule]],
)
def test_shared_cases(rule: str, case: dict[str, Any]) -> None:
    text = case["text"] if "text" in case else case["text_repeat"][0] * case["text_repeat"][1]
    masked = RULES[rule](text)
    if "expect" in case:
        assert masked == case["expect"]
    else:
        assert len(masked.encode("utf-16-le")) // 2 == case["expect_length"]


def test_the_browser_hides_the_same_parameters() -> None:
    assert CASES["secret_names"] == SECRET_NAME


def test_an_address_at_the_cut_does_not_survive_in_part() -> None:
    text = "x " * 636 + "ann.long.name@shop.test"  # its @ lies beyond what is read
    assert "ann" not in mask_text(text)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=1500))
def test_masking_twice_changes_nothing(text: str) -> None:
    once = mask_text(text)
    assert mask_text(once) == once
    assert len(once.encode("utf-16-le")) <= 2048
    mask_url(text)


@pytest.mark.parametrize(("text", "kept"), [("a" * 5, "aaa"), ("ab😀", "ab"), ("a😀b", "a😀"), ("ab", "ab")])
def test_cut_keeps_whole_characters(text: str, kept: str) -> None:
    assert cut(text, 3) == kept

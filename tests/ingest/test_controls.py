"""The cases the browser script is held to as well."""

import json
from pathlib import Path
from typing import Any

import pytest

from cairn.ingest.controls import Pages, is_page_captured

CASES = json.loads((Path(__file__).parents[2] / "contract/privacy.json").read_text())["page_captured"]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_page_is_captured_or_not(case: dict[str, Any]) -> None:
    pages = Pages(case["rules"]["mode"], tuple(case["rules"]["pages"]))
    assert is_page_captured(pages, case["domain"], case["path"]) is case["expect"]

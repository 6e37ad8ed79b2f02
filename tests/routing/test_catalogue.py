"""The catalogue holds whatever modules are there, and every one of them is complete."""

import re
from pathlib import Path

import pytest

from cairn.routing.catalogue import DestinationNotFound, catalogue, destination
from cairn.routing.destination import Destination
from cairn.wire.segment import TYPES

GUIDE = Path(__file__).parents[2] / "docs" / "guide"
ENTRIES = [pytest.param(entry, id=entry.slug) for entry in catalogue()]


def test_it_is_in_the_order_of_names_and_each_is_there_once() -> None:
    names = [entry.name.lower() for entry in catalogue()]
    assert names == sorted(set(names))
    assert len({entry.slug for entry in catalogue()}) == len(names)


def test_one_that_is_not_there_is_named() -> None:
    with pytest.raises(DestinationNotFound, match="'no such'"):
        destination("no such")


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_can_be_shown_set_up_and_tried(entry: Destination) -> None:
    assert destination(entry.slug) is entry
    assert re.fullmatch(r"[a-z0-9_]{2,40}", entry.slug)
    assert entry.summary.endswith(".") and "\n" not in entry.summary
    assert entry.settings and all(setting.label and setting.help for setting in entry.settings)
    assert all(
        setting.default in dict(setting.choices) for setting in entry.settings if setting.kind == "choice"
    )
    keys = [setting.key for setting in entry.settings]
    assert len(set(keys)) == len(keys) and entry.kinds <= set(TYPES)


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_has_a_page_that_explains_its_settings(entry: Destination) -> None:
    page = (GUIDE / "destinations" / f"{entry.slug}.md").read_text()
    assert entry.name in page.splitlines()[0]
    assert [setting.label for setting in entry.settings if f"**{setting.label}**" not in page] == []
    assert f"({entry.slug}.md)" in (GUIDE / "destinations" / "README.md").read_text()

"""How many values a list may have, whichever way they come."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cairn.lists.changing import Action, ListFull, Target, change, drop_interrupted
from cairn.lists.upload import PIECE
from cairn.members.sets import UPLOADS, Members, list_set, upload_set
from tests.seams import open_members

TARGET = Target("l1", 1, folds_case=False)
NAME = list_set(TARGET.list_id)


@pytest.fixture
def members(tmp_path: Path) -> Iterator[Members]:
    opened = open_members(tmp_path)
    yield opened
    opened.close()


def pieces(start: int, end: int) -> Iterator[list[str]]:
    numbers = [f"{number:07}" for number in range(start, end)]
    return (numbers[at : at + PIECE] for at in range(0, len(numbers), PIECE))


@pytest.mark.parametrize("most", [100, PIECE + 100], ids=["few", "several pieces"])
@pytest.mark.parametrize("action", [Action.ADD, Action.REPLACE])
def test_a_list_takes_no_more_than_its_limit(members: Members, action: Action, most: int) -> None:
    change(members, TARGET, Action.ADD, pieces(0, most), now_ms=1, most=most)
    again = change(members, TARGET, action, pieces(0, most), now_ms=2, most=most)
    assert (again.added, again.removed, again.size) == (0, 0, most), "those that are in take no space"
    with pytest.raises(ListFull):
        change(members, TARGET, action, pieces(0, most + 1), now_ms=3, most=most)
    assert members.size(NAME) == most
    assert all(members.size(name) == 0 for name in members.sets(UPLOADS))


def test_what_an_interrupted_upload_left_is_dropped(members: Members) -> None:
    members.apply(upload_set(1, "coming"), add={"a": 1}, remove=())
    members.apply(NAME, add={"b": 1}, remove=())
    drop_interrupted(members)
    assert members.size(upload_set(1, "coming")) == 0
    assert members.size(NAME) == 1

"""Changing the values of a list: many at once, in pieces that fit into memory, and seen by readers before or after.

The values of an upload are collected in a set of their own first: a bad last line leaves the list as it was.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import chain, islice

from msgspec import Struct

from cairn.errors import LimitExceeded
from cairn.lists.upload import PIECE
from cairn.members.sets import UPLOADS, Members, folded, list_set, upload_set

MOST_VALUES = 5_000_000  # of a list
SORTED_PIECES = 5  # some 25 MB of texts


class ListFull(LimitExceeded):
    """An attribute list may have 5,000,000 values. Remove some, or use a segment instead."""

    code = "list_full"

    def __init__(self, most: int) -> None:
        super().__init__(f"values: a list may have {most:,} values; nothing was changed", field="values")


class Action(StrEnum):
    ADD = "add"
    REMOVE = "remove"
    REPLACE = "replace"


class Changed(Struct, frozen=True):
    """How many values came and went, and how many there are now."""

    added: int
    removed: int
    size: int


class Target(Struct, frozen=True):
    """The list to change."""

    list_id: str
    environment_id: int
    folds_case: bool


def change(
    members: Members,
    target: Target,
    action: Action,
    pieces: Iterator[list[str]],
    *,
    now_ms: int,
    most: int = MOST_VALUES,
) -> Changed:
    """Raises ListFull, and whatever `pieces` raises; the list is as it was then.

    One at a time in each environment.
    """
    name = list_set(target.list_id)
    texts = (list(map(folded, piece)) for piece in pieces) if target.folds_case else pieces
    stored = (dict.fromkeys(piece, now_ms) for piece in _in_order(texts))
    first = next(stored, {})
    second = next(stored, None)
    is_small = action is not Action.REPLACE or members.size(name) <= PIECE
    if second is None and is_small:
        added, removed = _change_few(members, name, action, first, most)
    else:
        with _scratch(members, target.environment_id) as (coming, going):
            for piece in chain([first, second or {}], stored):
                members.apply(coming, add=piece, remove=())
                if members.size(coming) > most:
                    raise ListFull(most)
            added, removed = _change_many(members, name, action, coming, going, most)
    return Changed(added, removed, members.size(name))


def _in_order(pieces: Iterator[list[str]]) -> Iterator[list[str]]:
    """Pieces of the same size, several of them sorted together: each touches a part of the store then, not all."""
    while gathered := list(islice(pieces, SORTED_PIECES)):
        values = sorted(chain.from_iterable(gathered))
        for start in range(0, len(values), PIECE):
            yield values[start : start + PIECE]


def _change_few(
    members: Members, name: str, action: Action, values: dict[str, int], most: int
) -> tuple[int, int]:
    match action:
        case Action.ADD:
            if members.size(name) + len(values) > most:
                new = len(values) - len(members.which(name, values))
                if members.size(name) + new > most:
                    raise ListFull(most)
            return members.apply(name, add=values, remove=())
        case Action.REMOVE:
            return members.apply(name, add={}, remove=values)
        case Action.REPLACE:
            if len(values) > most:
                raise ListFull(most)
            return members.replace(name, values)


def _change_many(
    members: Members, name: str, action: Action, coming: str, going: str, most: int
) -> tuple[int, int]:
    match action:
        case Action.ADD:
            if members.size(name) + members.size(coming) > most:
                new = members.fill_difference(going, coming, name)
                members.drop(going)
                if members.size(name) + new > most:
                    raise ListFull(most)
            if not members.size(name):
                return members.adopt(name, coming), 0
            return members.combine(name, add=coming, remove=going)
        case Action.REMOVE:
            return members.combine(name, add=going, remove=coming)
        case Action.REPLACE:
            if not members.size(name):
                return members.adopt(name, coming), 0
            return members.replace_by(name, coming)


@contextmanager
def _scratch(members: Members, environment_id: int) -> Iterator[tuple[str, str]]:
    """Two empty sets, gone afterwards. Their names stay known to the store, so each environment has only two."""
    names = upload_set(environment_id, "coming"), upload_set(environment_id, "going")
    try:
        yield names
    finally:
        for name in names:
            members.drop(name)


def drop_interrupted(members: Members) -> None:
    """What uploads left behind that a crash ended. To be called before there are new ones."""
    for name in members.sets(UPLOADS):
        members.drop(name)

"""Writing answers into the members store: a segment's users, and the list of those who are identified.

Anonymous users are in the segment and never in the list. Every function may be repeated after a crash.
"""

from collections.abc import Callable, Iterable, Mapping, Set

from msgspec import Struct

from cairn.members.sets import Members
from cairn.segments.watched import Watched

LARGE_CHANGE = 10_000  # values; a larger change is exchanged as a whole set, which the store writes in pieces


class Answer(Struct, frozen=True):
    """What the store says of one canonical user that exists."""

    identity: str  # empty: anonymous
    holds: bool


class Change(Struct, frozen=True):
    users: frozenset[int] = frozenset()  # who came or went
    is_list_changed: bool = False


def apply_answers(
    members: Members,
    watched: Watched,
    answers: Mapping[int, Answer],
    asked: Set[int],
    identities: Callable[[Set[int]], Mapping[int, str]],
    now_ms: int,
) -> Change:
    """Bring the asked users in line. One without an answer does not exist, or was merged into another: it leaves.

    `identities` finds the identities of such users, whose place in the list ends too.
    """
    holding = {user: answer.identity for user, answer in answers.items() if answer.holds and user in asked}
    inside = {int(value) for value in members.which(watched.users_set, map(str, asked))}
    entered, left = holding.keys() - inside, inside - holding.keys()
    unknown = left - answers.keys()
    lost = {answers[user].identity for user in left & answers.keys()}
    lost |= set(identities(unknown).values()) if unknown else set()
    identified = {identity for identity in holding.values() if identity}
    members.apply(
        watched.users_set, add={str(user): now_ms for user in entered}, remove=[str(user) for user in left]
    )
    come, gone = members.apply(
        watched.list_set, add=dict.fromkeys(identified, now_ms), remove=lost - {""} - identified
    )
    return Change(frozenset(entered | left), bool(come or gone))


def replace_members(members: Members, watched: Watched, holding: Mapping[int, str], now_ms: int) -> Change:
    """Make the sets exactly these users. Shape of `holding`: canonical user -> identity or ""."""
    changed = _exchange(members, watched.users_set, {str(user) for user in holding}, now_ms)
    listed = _exchange(
        members, watched.list_set, {identity for identity in holding.values() if identity}, now_ms
    )
    return Change(frozenset(int(value) for value in changed if value.isdecimal()), bool(listed))


def _exchange(members: Members, name: str, wanted: Set[str], now_ms: int) -> Set[str]:
    """Return the values that came or went. A reader sees the set before or after, never between."""
    inside = {value for value, _ in members.values(name)}
    changed = wanted ^ inside
    if len(changed) > LARGE_CHANGE:
        members.replace(name, dict.fromkeys(wanted, now_ms))
    elif changed:
        members.apply(name, add=dict.fromkeys(wanted - inside, now_ms), remove=inside - wanted)
    return changed


def drop_members(members: Members, some: Iterable[Watched]) -> None:
    for watched in some:
        members.drop(watched.users_set)
        members.drop(watched.list_set)

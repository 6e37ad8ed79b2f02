"""Writing answers into the members store: a segment's users, and the list of those who are identified.

Anonymous users are in the segment and never in the list. Every function may be repeated after a crash.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set

from msgspec import Struct

from cairn.conditions.due import NEVER_MS
from cairn.members.sets import Members, SetChange
from cairn.segments.watched import Watched

LARGE_CHANGE = 10_000  # values; a larger change is exchanged as a whole set, which the store writes in pieces


class UserVerdict(Struct, frozen=True):
    """What the store says of one canonical user that exists."""

    identity: str  # empty: anonymous
    holds: bool
    due_ms: int = NEVER_MS  # when time alone may change that


class Change(Struct, frozen=True):
    users: frozenset[int] = frozenset()  # who came or went
    is_list_changed: bool = False


Answered = tuple[
    Watched, Mapping[int, UserVerdict], Set[int]
]  # a segment, its answers, and who was asked about


def apply_answers(
    members: Members,
    answered: Sequence[Answered],
    identities: Callable[[Set[int]], Mapping[int, str]],
    now_ms: int,
) -> list[tuple[Watched, Change]]:
    """Bring the users asked about in line, in segments of one environment, all in one write.

    One without an answer does not exist, or was merged into another: it leaves. `identities` finds the identities of
    such users, whose place in the list ends too.
    """
    _note_due(members, answered, now_ms)
    inside = members.which_all({watched.users_set: map(str, users) for watched, _, users in answered})
    gone = {
        user
        for watched, answers, users in answered
        for user in users - answers.keys()
        if str(user) in inside[watched.users_set]
    }
    names = identities(gone) if gone else {}
    changes: dict[str, SetChange] = {}
    come_or_gone: dict[str, frozenset[int]] = {}
    for watched, answers, checked in answered:
        users = {int(value) for value in inside[watched.users_set]}
        holding = {
            user: answer.identity for user, answer in answers.items() if answer.holds and user in checked
        }
        entered, left = holding.keys() - users, users - holding.keys()
        lost = {answers[user].identity if user in answers else names.get(user, "") for user in left}
        identified = {identity for identity in holding.values() if identity}
        changes[watched.users_set] = SetChange(
            {str(user): now_ms for user in entered}, [str(user) for user in left]
        )
        changes[watched.list_set] = SetChange(dict.fromkeys(identified, now_ms), lost - {""} - identified)
        come_or_gone[watched.users_set] = frozenset(entered | left)
    changed = members.apply_all(changes)
    return [
        (watched, Change(come_or_gone[watched.users_set], any(changed[watched.list_set])))
        for watched, _, _ in answered
    ]


def _note_due(members: Members, answered: Sequence[Answered], now_ms: int) -> None:
    """Before the members: after a crash between the two, too many users are looked at again, never too few."""
    for environment_id in {watched.environment_id for watched, _, _ in answered}:
        dues_by_segment: dict[int, dict[int, int | None]] = {}
        for watched, answers, users in answered:
            if watched.ready.counters:
                dues = {user: answers[user].due_ms if user in answers else NEVER_MS for user in users}
                dues_by_segment[watched.segment_id] = {
                    user: due_ms if due_ms < NEVER_MS else None for user, due_ms in dues.items()
                }
        members.due.note(environment_id, dues_by_segment, now_ms)


class FullCount(Struct):
    """A segment counted in full."""

    holding: dict[int, str]  # canonical user -> identity or ""
    dues: dict[int, int]  # canonical user -> when time alone may change the answer; those for whom it can


def replace_members(members: Members, watched: Watched, counted: FullCount, now_ms: int) -> Change:
    """Make the sets exactly these users."""
    holding = counted.holding
    members.due.replace(watched.environment_id, watched.segment_id, counted.dues, now_ms)
    changed = _exchange(members, watched.users_set, {str(user) for user in holding}, now_ms)
    listed = _exchange(
        members, watched.list_set, {identity for identity in holding.values() if identity}, now_ms
    )
    return Change(frozenset(int(value) for value in changed if value.isdecimal()), bool(listed))


def _exchange(members: Members, name: str, values: Set[str], now_ms: int) -> Set[str]:
    """Return the values that came or went. A reader sees the set before or after, never between."""
    inside = {value for value, _ in members.values(name)}
    changed = values ^ inside
    if len(changed) > LARGE_CHANGE:
        members.replace(name, dict.fromkeys(values, now_ms))
    elif changed:
        members.apply(name, add=dict.fromkeys(values - inside, now_ms), remove=inside - values)
    return changed


def drop_members(members: Members, segments: Iterable[Watched]) -> None:
    for watched in segments:
        members.drop(watched.users_set)
        members.drop(watched.list_set)
        members.due.drop(watched.environment_id, watched.segment_id)

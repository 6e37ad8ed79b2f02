"""Asking about some users in many segments, so that one that cannot be answered costs no other its answer."""

from collections.abc import Mapping, Set

import sqlalchemy as sa

from cairn.db.engine import reading
from cairn.errors import CairnError, Unavailable
from cairn.segments.membership import UserVerdict
from cairn.segments.questions import ToEvaluate, answers_for
from cairn.segments.watched import Watched
from cairn.store.errors import QuestionTooExpensive
from cairn.store.store import Store

# Questions that fail for lack of the store, with none answered, before it is taken to be away.
MOST_FAILED = 3

Verdicts = tuple[Watched, Set[int], Mapping[int, UserVerdict]]


def answer(
    engine: sa.Engine, store: Store, to_evaluate: ToEvaluate, known_users: Set[int], now_ms: int
) -> tuple[list[Verdicts], list[tuple[Watched, CairnError]]]:
    """All in one question; when that fails, half by half. Return what was answered, and which failed and why.

    Raises Unavailable when the store is away.
    """
    answered: list[Verdicts] = []
    failed: list[tuple[Watched, CairnError]] = []
    waiting = [to_evaluate] if to_evaluate else []
    while waiting:
        part = waiting.pop()
        try:
            with reading(engine) as connection:
                answers = answers_for(store, connection, part, known_users, now_ms)
            answered += ((*pair, of_pair) for pair, of_pair in zip(part, answers, strict=True))
        except CairnError as error:
            if len(part) > 1:
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]
                continue
            failed.append((part[0][0], error))
            if not answered and len(failed) >= MOST_FAILED and all(_is_outage(why) for _, why in failed):
                raise
    if failed and not answered and all(_is_outage(why) for _, why in failed):
        raise failed[0][1]
    return answered, failed


def _is_outage(error: CairnError) -> bool:
    """Is the store away, rather than this question too much for it?"""
    return isinstance(error, Unavailable) and not isinstance(error, QuestionTooExpensive)

"""What a question reads of the store, as a value that rules can rewrite before it becomes SQL. Pure."""

from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from cairn.conditions.clause import event_clause
from cairn.conditions.tree import EventMatch
from cairn.query.scope import Scope
from cairn.query.time_range import TimeRange
from cairn.store.statement import USUAL, Limits
from cairn.store.store import Row

Answer = TypeVar("Answer", covariant=True)


class Plan(Struct, frozen=True):
    """What is to be read. A question says the first four, rules decide the rest."""

    # Of the events' times.
    within: TimeRange = TimeRange()
    # An event that none of them means adds nothing to the answer. Empty: any event may add something.
    matches: tuple[EventMatch, ...] = ()
    limits: Limits = USUAL
    # False: it names a moment that passes, so it is never asked again in the same words.
    can_be_kept: bool = True
    # The range says its days as well as its times.
    says_days: bool = False
    # Only events that one of the matches means are read.
    reads_matches_only: bool = False
    # A raw id is looked up among the merges before users are told apart.
    looks_up_users: bool = True
    # No event can be in the answer, which is known without the store.
    is_empty: bool = False


class Question(Protocol, Generic[Answer]):
    """Something to know about one environment, as a frozen value: equal questions of equal data have equal answers."""

    def plan(self) -> Plan: ...

    def select(self, plan: Plan, scope: Scope) -> str:
        """The SQL of the plan; texts and times bound by the scope."""

    def answer(self, rows: list[Row]) -> Answer:
        """From the rows of `select`; from no rows when no event can be in the answer."""


def events(plan: Plan, scope: Scope, *clauses: str) -> str:
    """For FROM: the events that the plan reads."""
    tests = list(clauses)
    if plan.within != TimeRange():
        tests.insert(0, plan.within.clause(scope.bindings, says_days=plan.says_days))
    if plan.reads_matches_only:
        tests.append(" OR ".join(event_clause(match, scope.bindings) for match in plan.matches))
    return scope.events(*tests)


def canonical_user(plan: Plan, scope: Scope) -> str:
    """Whose an event is, as the plan tells users apart."""
    return scope.canonical() if plan.looks_up_users else "user_id"

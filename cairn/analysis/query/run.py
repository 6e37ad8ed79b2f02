"""Asking a question: its plan, rewritten by the rules, becomes one statement; its rows become the answer."""

from typing import Any, TypeVar

from msgspec import Struct, structs

from cairn.analysis.query.kept import KeptRows
from cairn.analysis.query.plan import Plan, Question
from cairn.analysis.query.rules import rewritten
from cairn.query.scope import Scope
from cairn.store.running import Running
from cairn.store.statement import Statement
from cairn.store.store import Row, Store

Answer = TypeVar("Answer")


class ExplainedPlan(Struct, frozen=True):
    """How a question would be asked now."""

    plan: Plan
    fired: tuple[tuple[str, str], ...]  # each rule that changed it, and its reason
    sql: str  # empty: the answer is known without the store
    parameters: dict[str, Any] = {}  # Any: the columns' own types


class Questions:
    """Asks one event store. Safe from several threads."""

    def __init__(self, store: Store, kept: KeptRows | None = None) -> None:
        self.store = store
        self._kept = kept or KeptRows()

    def ask(
        self,
        environment_id: int,
        question: Question[Answer],
        *,
        timeout_s: float | None = None,
        running: Running | None = None,
    ) -> Answer:
        """Raises Unavailable on the plan's limits, and QuestionCancelled.

        Guarantee: an answer that was kept is one that asking the store now would give.
        """
        original, rows = question.plan(), list[Row]()
        if timeout_s is not None:
            original = structs.replace(original, limits=structs.replace(original.limits, timeout_s=timeout_s))
        plan, is_right = original, False
        while not is_right:
            state = self.store.state(environment_id)
            plan = rewritten(original, state).plan
            version = state.version if state is not None and plan.can_be_kept else None
            rows = [] if plan.is_empty else self._rows(environment_id, question, plan, version, running)
            # What the rules relied on may have changed while the engine was at it.
            is_right = rewritten(original, self.store.state(environment_id)).plan == plan
        return question.answer(rows)

    def explain(self, environment_id: int, question: Question[object]) -> ExplainedPlan:
        """Without asking it."""
        made = rewritten(question.plan(), self.store.state(environment_id))
        fired = tuple((rule.name, rule.reason) for rule in made.fired)
        if made.plan.is_empty:
            return ExplainedPlan(made.plan, fired, "")
        statement = _statement(environment_id, question, made.plan)
        return ExplainedPlan(made.plan, fired, statement.sql, dict(statement.parameters))

    def _rows(
        self,
        environment_id: int,
        question: Question[Answer],
        plan: Plan,
        version: int | None,
        running: Running | None,
    ) -> list[Row]:
        statement = _statement(environment_id, question, plan)
        if running is not None:
            running.check()
        if version is not None and (kept := self._kept.get(statement, version)) is not None:
            return kept
        rows = self.store.query(statement, plan.limits, running)
        if version is not None:
            self._kept.put(statement, version, rows)
        return rows


def _statement(environment_id: int, question: Question[Any], plan: Plan) -> Statement:  # Any: of any answer
    scope = Scope(environment_id)
    return scope.statement(question.select(plan, scope))

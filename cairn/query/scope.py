"""The only way from a question to the tables: a scope of one environment, whose tables filter by it themselves. Pure.

A statement is made of the rows that its scope gave, so that no text can be asked that forgot whose data it reads; and
the store shows every statement its environment's rows only, whatever the text says (store.tenancy).
"""

from typing import Any

from cairn.query.bindings import Bindings
from cairn.query.canonical import CANONICAL
from cairn.store.schema import DATABASE
from cairn.store.statement import ENVIRONMENT, Statement, UnboundQuestion, seal

# Ends a statement that groups by what senders may make up, such as names, hosts and libraries: groups beyond these are
# left out instead of filling the engine's memory until the question fails.
BOUNDED_GROUPS = "SETTINGS max_rows_to_group_by = 50000, group_by_overflow_mode = 'any'"
# The environment, wherever a text needs it as a value.
HERE = f"{{{ENVIRONMENT}:UInt32}}"


class Scope:
    """Of one statement: one environment's tables, and the values that the statement binds."""

    def __init__(self, environment_id: int) -> None:
        self.environment_id = environment_id
        self.bindings = Bindings()
        self._tables: set[str] = set()
        self._reads_user_map = False

    def events(self, *clauses: str) -> str:
        """For FROM: the events that pass all of the clauses, which are booleans over the table's columns."""
        return self._rows("events", clauses)

    def user_properties(self, *clauses: str, newest_only: bool = False) -> str:
        """For FROM, as `events`. `newest_only`: of each raw user and key the newest row, which costs a merge."""
        return self._rows("user_properties", clauses, is_final=newest_only)

    def account_properties(self, *clauses: str) -> str:
        return self._rows("account_properties", clauses)

    def elements(self, *clauses: str, newest_only: bool = False) -> str:
        return self._rows("elements", clauses, is_final=newest_only)

    def refusals(self, *clauses: str) -> str:
        return self._rows("refusals", clauses)

    def visitors(self, *clauses: str) -> str:
        return self._rows("visitors", clauses)

    def canonical(self) -> str:
        """Whose a row is after merges, as an expression over a table's columns."""
        self._reads_user_map = True
        return CANONICAL

    def contains(self, expression: str, rows: str) -> str:
        """A boolean: is the expression among the rows, a SELECT of one column?

        The one place that a cluster changes where such rows do not lie with what they are compared with: there the set
        is made once, where the question was asked (`GLOBAL IN`).
        """
        return f"{expression} IN ({rows})"

    def raw_users(self, rows: str) -> str:
        """For FROM: grouped rows with a column `user_id`, so that `canonical` can be asked of them.

        A level of its own: an alias beside the environment's filter would take the filter's place.
        """
        return f"(SELECT {HERE} AS environment_id, * FROM ({rows}))"

    def statement(self, sql: str, **parameters: Any) -> Statement:  # Any: the columns' own types
        """One SELECT over rows of this scope. `parameters`: named ones of the text, beside what is bound.

        Raises UnboundQuestion.
        """
        if not self._tables:
            raise UnboundQuestion(f"the statement reads no rows of its scope: {sql.strip()[:100]!r}")
        if twice := parameters.keys() & self.bindings.values.keys():
            raise UnboundQuestion(f"parameters {sorted(twice)} are bound already")
        return seal(
            self.environment_id,
            sql,
            {**self.bindings.values, **parameters},
            reads_user_map=self._reads_user_map,
            tables=frozenset(self._tables),
        )

    def _rows(self, table: str, clauses: tuple[str, ...], *, is_final: bool = False) -> str:
        self._tables.add(table)
        where = " AND ".join((f"environment_id = {HERE}", *(f"({clause})" for clause in clauses)))
        return f"{DATABASE}.{table}{' FINAL' if is_final else ''} WHERE {where}"

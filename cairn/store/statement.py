"""What the event store is asked: one SELECT over one environment's rows, with what it binds. Pure."""

from collections.abc import Mapping
from typing import Any, final

from msgspec import Struct

from cairn.errors import CairnError

Parameters = Mapping[str, Any]  # Any: the columns' own types
# The parameter that every row of a table is compared with; bound by the store and by nobody else.
ENVIRONMENT = "environment"
# The engine's setting by which the store says whose rows a statement may see (store.tenancy). A text that sets it
# itself would have its way, so none may name it.
FILTERS_SETTING = "additional_table_filters"


class UnboundQuestion(CairnError):
    """A question that is not bound to its environment. A fault in Cairn: statements are made by `query.scope`."""

    code = "unbound_question"


class Limits(Struct, frozen=True):
    """What one question may use. Beyond, it ends with QuestionTooExpensive."""

    timeout_s: float = 10.0
    # None: as much as the store was opened with, and never more.
    memory_mb: int | None = None
    # Of the answer. None: as many as fit in the memory.
    rows: int | None = None


USUAL = Limits()


@final
class Statement:
    """Cannot be made from a text: `query.scope.Scope` makes it, which writes the environment into every table."""

    __slots__ = ("environment_id", "parameters", "reads_user_map", "sql", "tables")

    environment_id: int
    sql: str
    parameters: Parameters
    reads_user_map: bool  # then user map changes inserted before are in force
    tables: frozenset[str]  # that its scope gave rows of

    def __init__(self) -> None:
        raise UnboundQuestion("a statement is made by a Scope, of tables that the scope gave")


def seal(
    environment_id: int,
    sql: str,
    parameters: Parameters,
    *,
    reads_user_map: bool,
    tables: frozenset[str] = frozenset(),
) -> Statement:
    """For `query.scope`, and for `question.ad_hoc`; a test holds everybody else off. Raises UnboundQuestion."""
    if ENVIRONMENT in parameters:
        raise UnboundQuestion(f"the parameter `{ENVIRONMENT}` is bound by the store, never by the caller")
    if FILTERS_SETTING in sql:
        raise UnboundQuestion(f"the statement names {FILTERS_SETTING}, which is the store's alone")
    statement = object.__new__(Statement)
    statement.environment_id = environment_id
    statement.sql = sql
    statement.parameters = dict(parameters)
    statement.reads_user_map = reads_user_map
    statement.tables = tables
    return statement

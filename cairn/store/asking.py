"""One thread's client for questions to the embedded engine: it can read only, within limits, one environment's rows."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from uuid import uuid4

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from cairn.store.running import Progress, Running
from cairn.store.statement import ENVIRONMENT, FILTERS_SETTING, USUAL, Limits, Statement
from cairn.store.store import Row
from cairn.store.tenancy import filters

# Of a statement's text, and of what the engine makes of it. Callers cut what they ask to a fortieth of this; a defined
# event that grows into many elements and ways must not stop a segment that was accepted.
_TEXT_LIMITS = {
    "max_query_size": 8 << 20,
    "max_ast_elements": 500_000,
    "max_expanded_ast_elements": 5_000_000,
}
# Rewrites of the engine that do nothing for questions of ours, and take half of the time to read a long one (a count of
# four segments: 109 ms of processor time with them, 58 without; bench/segments.py).
_SKIPPED_REWRITES = {
    "optimize_and_compare_chain": 0,
    "optimize_aggregators_of_group_by_keys": 0,
    "optimize_syntax_fuse_functions": 0,
}


class Asking:
    """Not for two threads at once."""

    def __init__(self, client: Client, *, memory_mb: int) -> None:
        self.client = client
        self._memory_mb = memory_mb
        for name, limit in (_TEXT_LIMITS | _SKIPPED_REWRITES).items():
            client.set_client_setting(name, limit)
        client.set_client_setting("max_execution_time", USUAL.timeout_s)
        client.set_client_setting("max_memory_usage", memory_mb << 20)
        client.set_client_setting("max_result_bytes", memory_mb << 18)  # a quarter: it grows as Python values
        client.set_client_setting("readonly", 2)

    def ask(
        self, statement: Statement, limits: Limits, running: Running | None, other: Callable[[], Client]
    ) -> list[Row]:
        """`other`: a client to reach the engine by while this one waits. Raises the client's errors."""
        parameters = {**statement.parameters, ENVIRONMENT: statement.environment_id}
        settings = {FILTERS_SETTING: filters(statement.environment_id)} | self._beyond_usual(limits)
        during: Any = nullcontext()  # Any: it yields nothing that is used
        if running is not None:
            settings["log_comment"] = name = str(uuid4())
            during = running.during(_AtWork(name, other))
        with during:
            return list(
                self.client.query(statement.sql, parameters=parameters, settings=settings).result_rows
            )

    def _beyond_usual(self, limits: Limits) -> dict[str, Any]:  # Any: the settings' own types
        """What differs from the client's own settings; each one in a statement costs a tenth of a millisecond."""
        settings: dict[str, Any] = {}
        if limits.timeout_s != USUAL.timeout_s:
            settings["max_execution_time"] = limits.timeout_s
        if limits.memory_mb is not None:
            settings["max_memory_usage"] = min(limits.memory_mb, self._memory_mb) << 20
        if limits.rows is not None:
            settings["max_result_rows"] = limits.rows
        return settings


class _AtWork:
    """A question that the engine knows by the comment it came with, as the embedded one lets nobody choose its ids."""

    def __init__(self, name: str, client: Callable[[], Client]) -> None:
        self._name, self._client = name, client

    def kill(self) -> bool:
        return bool(self._ask("KILL QUERY WHERE Settings['log_comment'] = {name:String} ASYNC"))

    def progress(self) -> Progress | None:
        rows = self._ask(
            "SELECT read_rows, total_rows_approx FROM system.processes WHERE Settings['log_comment'] = {name:String}"
        )
        return Progress(int(rows[0][0]), int(rows[0][1])) if rows else None

    def _ask(self, sql: str) -> list[Row]:
        try:
            return list(self._client().query(sql, parameters={"name": self._name}).result_rows)
        except Error:
            return []  # the engine is closing

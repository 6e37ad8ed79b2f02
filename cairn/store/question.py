"""What a question to the event store must look like: one SELECT, bound to one environment."""

import re
from collections.abc import Mapping
from typing import Any

from cairn.store.errors import UnboundQuestion

_BINDING = "{environment:UInt32}"
_SELECT = re.compile(r"\s*(SELECT|WITH)\b", re.IGNORECASE)
_MERGED = "merged_users"


def bound(
    environment_id: int,
    sql: str,
    parameters: Mapping[str, Any] | None,  # Any: the columns' own types
) -> dict[str, Any]:
    """The parameters with the environment among them. Raises UnboundQuestion."""
    if _BINDING not in sql:
        raise UnboundQuestion(f"the statement does not use {_BINDING}: {sql.strip()[:100]!r}")
    if not _SELECT.match(sql):
        raise UnboundQuestion(f"the statement is not one SELECT: {sql.strip()[:100]!r}")
    if ";" in sql:
        # The engine runs both statements and hands the first one's answer to whoever asks next on the same client.
        raise UnboundQuestion(
            f"the statement holds a semicolon; send one, and texts as parameters: {sql.strip()[:100]!r}"
        )
    if parameters and "environment" in parameters:
        raise UnboundQuestion("the parameter `environment` is bound by the store, never by the caller")
    return {**(parameters or {}), "environment": environment_id}


def reads_user_map(sql: str) -> bool:
    return _MERGED in sql

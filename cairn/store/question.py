"""Questions written by hand, for tests, benchmarks and people who look into a store; the product asks by a scope."""

import re

from cairn.store.schema import MERGED_USERS
from cairn.store.statement import ENVIRONMENT, Parameters, Statement, UnboundQuestion, seal

_BINDING = f"{{{ENVIRONMENT}:UInt32}}"
_SELECT = re.compile(r"\s*(SELECT|WITH)\b", re.IGNORECASE)


def ad_hoc(environment_id: int, sql: str, parameters: Parameters | None = None) -> Statement:
    """One SELECT whose text uses `{environment:UInt32}`. Raises UnboundQuestion."""
    if _BINDING not in sql:
        raise UnboundQuestion(f"the statement does not use {_BINDING}: {sql.strip()[:100]!r}")
    if not _SELECT.match(sql):
        raise UnboundQuestion(f"the statement is not one SELECT: {sql.strip()[:100]!r}")
    if ";" in sql:
        # The engine runs both statements and hands the first one's answer to the next caller of the same client.
        raise UnboundQuestion(
            f"the statement holds a semicolon; send one, and texts as parameters: {sql.strip()[:100]!r}"
        )
    return seal(environment_id, sql, parameters or {}, reads_user_map=MERGED_USERS in sql)

"""Identities that were stored before flag visitors were looked up get their row after a start, a page for each load.

Resumable, because a page holds identities without a row; anonymous ids get theirs when they are seen again.
"""

from cairn.ingest.batch import Batch, Parts
from cairn.ingest.loaded import Loaded
from cairn.ingest.touched import touched
from cairn.ingest.visitors import IDENTITY, accounts_of, join_waiting, visitor_rows
from cairn.ingest.writes import write_merges, write_visitors
from cairn.query.visitors import identities_without_visitor

PAGE = 10_000  # identities; a tenth of a second


class VisitorBackfill:
    """Not thread-safe: the loader has one thread."""

    def __init__(self) -> None:
        self._environments: list[int] | None = None  # left to do; None: not begun

    def next_page(self, parts: Parts) -> list[Loaded]:
        """Write the rows of one page; return what it changed. Idempotent, and free once all is done."""
        if self._environments is None:
            self._environments = sorted(accounts_of(parts.directory())) or None
        if not self._environments:
            return []
        environment_id = self._environments[-1]
        found = identities_without_visitor(parts.store, environment_id, rank=IDENTITY, limit=PAGE)
        named = [(environment_id, user_id, text, IDENTITY) for user_id, text in found.items()]
        batch = Batch([])
        batch.visitors = visitor_rows(named, accounts_of(parts.directory()))
        join_waiting(batch.visitors, batch, parts, parts.clock())
        write_merges(batch, parts)
        write_visitors(batch, parts)
        if len(found) < PAGE:
            self._environments.pop()
        return touched(batch)

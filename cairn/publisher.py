"""Keeps what the edge serves in step with what people defined: the directory of keys and every settings file.

It publishes when told of a change, when a list that a settings file inlines has changed, and when another process
(such as `cairn demo`) wrote to the metadata database. Publishing the same bytes again changes nothing.
"""

import logging
import threading
import time
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy import select

from cairn.db.changes import changes_counted
from cairn.db.engine import reading
from cairn.db.tables import environments
from cairn.errors import CairnError, Unavailable
from cairn.flags.publish import publish_environment
from cairn.members.sets import MembersAndDocuments
from cairn.privacy.capture import publish_capture
from cairn.routing.settings_document import publish_source_settings
from cairn.settings import Settings
from cairn.workspace.directory_build import publish_directory

logger = logging.getLogger(__name__)

WATCH_INTERVAL_S = 0.25  # how soon a change by another process is noticed
LISTS_INTERVAL_S = 1.0  # at most one new settings file a second for inlined lists: every SDK fetches it whole


class Publisher:
    """`on_published` is called with environments whose settings files changed, after the new ones are published."""

    def __init__(
        self,
        engine: sa.Engine,
        members: MembersAndDocuments,
        settings: Settings,
        *,
        on_published: Callable[[set[int]], None] = lambda _: None,
    ) -> None:
        self._engine, self._members, self._settings = engine, members, settings
        self._on_published = on_published
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._changed: set[int] = set()
        self._lists_changed: set[int] = set()
        self._seen = -1  # the count of changes that was published whole; -1: none yet
        self._lists_at = 0.0
        self.warnings: dict[int, list[str]] = {}
        self.error = ""  # why nothing can be published; empty: it can

    def changed(self, environment_id: int) -> None:
        """Something of this environment was changed and committed; publish it now."""
        with self._lock:
            self._changed.add(environment_id)
        self._wake.set()

    def lists_changed(self, environment_ids: set[int]) -> None:
        """Members of attribute lists came or went; settings files that inline them follow within a second."""
        with self._lock:
            self._lists_changed |= environment_ids

    def publish_all(self) -> None:
        with reading(self._engine) as connection:
            publish_directory(connection, self._members)
            ids = list(connection.execute(select(environments.c.id)).scalars())
        self._publish(set(ids))

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._wake.wait(WATCH_INTERVAL_S)
            self._wake.clear()
            try:
                self.publish_due()
                self.error = ""
            except Exception as error:  # the job boundary: what is in force stays, and it is tried again
                if not self.error:
                    logger.exception("not_published")
                self.error = str(error)
                self._seen = -1  # then everything is published
                stop.wait(LISTS_INTERVAL_S)

    def publish_due(self) -> None:
        """One tick: what was changed since the last."""
        with self._lock:
            due, self._changed = self._changed, set()
            if time.monotonic() - self._lists_at >= LISTS_INTERVAL_S and self._lists_changed:
                due, self._lists_at = due | self._lists_changed, time.monotonic()
                self._lists_changed = set()
        with reading(self._engine) as connection:
            count = changes_counted(connection)
        if count != self._seen:
            self.publish_all()
            self._seen = count
        elif due:
            self._publish_changed(due)

    def _publish_changed(self, environment_ids: set[int]) -> None:
        with reading(self._engine) as connection:
            publish_directory(connection, self._members)
        self._publish(environment_ids)

    def _publish(self, environment_ids: set[int]) -> None:
        changed = set()
        for environment_id in sorted(environment_ids):
            self._publish_capture(environment_id)
            self._publish_sources(environment_id)
            before = self._members.changes()
            self._publish_settings(environment_id)
            if self._members.changes() != before:
                changed.add(environment_id)
        if changed:
            self._on_published(changed)

    def _publish_settings(self, environment_id: int) -> None:
        try:
            with reading(self._engine) as connection:
                self.warnings[environment_id] = publish_environment(
                    connection,
                    self._members,
                    self._members,
                    environment_id,
                    poll_interval_ms=self._settings.poll_interval_ms,
                    inline_limit=self._settings.inline_limit,
                )
        except Unavailable:
            raise
        except CairnError as error:
            # The last good settings file stays in force; the page of the flag shows the warning.
            logger.warning("settings_not_published", extra={"environment": environment_id, "why": str(error)})
            self.warnings[environment_id] = [str(error)]

    def _publish_sources(self, environment_id: int) -> None:
        with reading(self._engine) as connection:
            publish_source_settings(connection, self._members, environment_id)

    def _publish_capture(self, environment_id: int) -> None:
        """By itself: settings that cannot be read must not keep flags from being published."""
        try:
            with reading(self._engine) as connection:
                publish_capture(connection, self._members, environment_id)
        except Unavailable:
            raise
        except CairnError as error:
            logger.warning("capture_not_published", extra={"environment": environment_id, "why": str(error)})

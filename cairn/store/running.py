"""A question that the engine is working at: how far it is, and how it is stopped."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from msgspec import Struct

from cairn.store.errors import QuestionCancelled

# Between two attempts to stop a question that the engine has not taken up yet.
RETRY_S = 0.02


class Progress(Struct, frozen=True):
    read_rows: int
    # As the engine estimates it; 0: not known yet.
    total_rows: int


class AtWork(Protocol):
    """The engine's side of one question."""

    def kill(self) -> bool:
        """Ask the engine to stop it; False: it is not at it, or not yet."""

    def progress(self) -> Progress | None: ...


class Running:
    """Of one question, or of several one after the other. Safe from several threads.

    The caller that waits for the answer hands it to `Store.query`; once nobody waits any more, it is cancelled.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_cancelled = False
        self._at_work: AtWork | None = None
        self._has_ended = threading.Event()

    @property
    def is_cancelled(self) -> bool:
        return self._is_cancelled

    def cancel(self) -> None:
        """Stop the question and all that follow; return once the engine was told. Calling it twice is harmless."""
        with self._lock:
            self._is_cancelled = True
            at_work, has_ended = self._at_work, self._has_ended
        # The question may be on its way to the engine, which knows nothing of it then.
        while at_work is not None and not at_work.kill() and not has_ended.wait(RETRY_S):
            pass

    def progress(self) -> Progress | None:
        """None: the engine is not at it."""
        at_work = self._at_work
        return at_work.progress() if at_work is not None else None

    @contextmanager
    def during(self, at_work: AtWork) -> Iterator[None]:
        """For the store, around one question. Raises QuestionCancelled."""
        with self._lock:
            self.check()
            self._at_work, self._has_ended = at_work, threading.Event()
        try:
            yield
        finally:
            with self._lock:
                self._at_work = None
                self._has_ended.set()

    def check(self) -> None:
        """Raises QuestionCancelled."""
        if self._is_cancelled:
            raise QuestionCancelled("nobody waits for the answer any more")

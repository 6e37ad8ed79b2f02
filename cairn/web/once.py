"""Secrets between the request that made them and the page that shows them, which does so once."""

import secrets
import threading
from datetime import datetime, timedelta

from msgspec import Struct

KEPT_FOR = timedelta(minutes=5)  # a browser follows a redirect at once
MOST_KEPT = 100  # of all sessions; the oldest goes first


class Kept(Struct, frozen=True):
    secret: str
    owner: str  # the forged-request token of the session it is for
    until: datetime


class ShownOnce:
    """In memory of one process, never on disk. Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, Kept] = {}

    def keep(self, secret: str, owner: str, now: datetime) -> str:
        """A handle for the address of the page that shows it."""
        handle = secrets.token_urlsafe(18)
        with self._lock:
            self._kept = {name: kept for name, kept in self._kept.items() if kept.until > now}
            while len(self._kept) >= MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[handle] = Kept(secret, owner, now + KEPT_FOR)
        return handle

    def take(self, handle: str, owner: str, now: datetime) -> str:
        """The secret, which is gone afterwards; empty when it was shown, is too old, or is another session's."""
        with self._lock:
            kept = self._kept.get(handle)
            if kept is None or kept.owner != owner:
                return ""
            del self._kept[handle]
        return kept.secret if kept.until > now else ""

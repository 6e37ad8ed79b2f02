"""Slowing down those who guess passwords. In memory of one process: a restart forgets, which is harmless.

Every attempt is counted before the password is looked at, so parallel guesses gain nothing.
"""

import threading
from collections import deque
from datetime import datetime, timedelta

from cairn.client_address import customer_of
from cairn.errors import LimitExceeded
from cairn.workspace.naming import looked_up

WINDOW = timedelta(minutes=15)
PER_PAIR = 5  # attempts for one e-mail from one address: a person who mistypes
# Attempts of one address, or one /64 of IPv6, trying many e-mails; an office behind one address still gets in.
PER_ADDRESS = 50
PER_EMAIL = 100  # many addresses trying one e-mail; high, so that others cannot easily lock a member out
MAX_KEYS = 50_000  # bounds the memory; beyond it the oldest are forgotten


class TooManyAttempts(LimitExceeded):
    """Too many attempts to sign in. Wait as long as the message says."""

    code = "too_many_attempts"
    status = 429

    def __init__(self, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"too many attempts to sign in; try again in {retry_after_s} s", field="password")


class Throttle:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempts: dict[tuple[str, str], deque[datetime]] = {}

    def attempt(self, email: str, address: str, now: datetime) -> None:
        """Count one attempt. Raises TooManyAttempts; a refused attempt is not counted."""
        email, sender = _names(email, address)
        limits = {(email, sender): PER_PAIR, ("", sender): PER_ADDRESS, (email, ""): PER_EMAIL}
        with self._lock:
            for key, limit in limits.items():
                past = self._recent(key, now)
                if len(past) >= limit:
                    wait = past[0] + WINDOW - now
                    raise TooManyAttempts(max(1, int(wait.total_seconds())))
            for key in limits:
                self._attempts.setdefault(key, deque()).append(now)
            while len(self._attempts) > MAX_KEYS:
                del self._attempts[next(iter(self._attempts))]

    def succeeded(self, email: str, address: str) -> None:
        """The password was right: mistyping before does not count any longer."""
        with self._lock:
            self._attempts.pop(_names(email, address), None)

    def _recent(self, key: tuple[str, str], now: datetime) -> deque[datetime]:
        past = self._attempts.get(key, deque())
        while past and past[0] <= now - WINDOW:
            past.popleft()
        return past


def _names(email: str, address: str) -> tuple[str, str]:
    """The account and the sender an attempt counts for: spelled as the look-up spells the one, a network as one."""
    return looked_up(email)[:320], customer_of(address)

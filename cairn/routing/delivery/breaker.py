"""Whether a connection's target is there: while it is away the whole connection waits, and asks now and then. Pure."""

from msgspec import Struct

FAILURES = 3  # in a row, of any messages; then the target is away
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 300.0


class Breaker(Struct):
    """Mutable; the times are a monotonic clock's, but for `away_since_ms`."""

    failures: int = 0  # since the last success
    successes: int = 0  # ever
    pauses: int = 0  # in a row
    paused_until_s: float = 0.0
    away_since_ms: int = 0  # 0: it is there
    detail: str = ""  # what it said last

    @property
    def is_away(self) -> bool:
        return self.away_since_ms > 0

    def is_paused(self, now_s: float) -> bool:
        return now_s < self.paused_until_s

    def succeeded(self) -> bool:
        """Whether it was away until now."""
        was_away = self.is_away
        self.failures = self.pauses = self.away_since_ms = 0
        self.successes += 1
        self.paused_until_s, self.detail = 0.0, ""
        return was_away

    def failed(self, now_s: float, now_ms: int, asked_s: float | None, chance: float, detail: str) -> None:
        """`asked_s`: how long the target wants to be left alone, if it said so. `chance`: 0 to 1."""
        self.failures += 1
        self.detail = detail
        if asked_s is not None:
            self.paused_until_s = max(self.paused_until_s, now_s + asked_s)
        if self.failures < FAILURES:
            return
        self.away_since_ms = self.away_since_ms or now_ms
        if not self.is_paused(now_s):
            self.pauses += 1
            self.paused_until_s = now_s + spread(
                min(FIRST_PAUSE_S * 2.0 ** min(self.pauses - 1, 20), LONGEST_PAUSE_S), chance
            )


def retry_s(attempts: int, asked_s: float | None, chance: float) -> float:
    """Seconds until the next attempt, after so many that failed."""
    wait_s = spread(min(FIRST_RETRY_S * 2.0 ** min(attempts - 1, 20), LONGEST_RETRY_S), chance)
    return wait_s if asked_s is None else max(asked_s, 0.1)


def spread(seconds: float, chance: float) -> float:
    """So that not all come at once."""
    return seconds * (0.5 + chance / 2)

"""Whether a connection's target is there: while it is away the whole connection waits, and asks now and then. Pure."""

from msgspec import Struct

from cairn.http_client.retry import retry_s

FAILURES = 3  # in a row, of any messages; then the target is away
LONGEST_PAUSE_S = 60.0


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
            self.paused_until_s = now_s + retry_s(self.pauses, None, chance, longest_s=LONGEST_PAUSE_S)

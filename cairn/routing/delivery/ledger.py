"""What became of messages, gathered in memory until it is written: counts, samples and dead letters. Pure.

What is taken out is to be written before any cursor that stood then: after that nobody meets the messages again.
"""

from collections import Counter
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from cairn.routing.delivery.erased import Erasure
from cairn.routing.message import Message

Outcome = Literal["delivered", "discarded", "retried", "failed"]

# Upper bounds of the classes that latencies are counted in, in ms; the last is for all that took longer.
CLASSES_MS = (
    *(10, 20, 50, 100, 200, 300, 500),
    *(1_000, 2_000, 5_000, 10_000, 30_000, 60_000),
    *(300_000, 3_600_000, 86_400_000),
)
SAMPLES_PER_WRITE = 2  # of each connection, outcome and reason
# Dead letters in memory; with so many unwritten nothing more is sent.
MOST_UNWRITTEN = 2_000


class Count(Struct, frozen=True):
    connection_id: int
    minute: int
    outcome: Outcome
    reason: str
    latency_ms: int


class Exchange(Struct, frozen=True):
    """What was sent for a message and what came back, without secrets."""

    request: dict[str, Any] | None = None  # Any: JSON
    answer: dict[str, Any] | None = None
    detail: str = ""


class Sample(Struct, frozen=True):
    connection_id: int
    outcome: Outcome
    reason: str
    message: Message
    exchange: Exchange
    at: datetime


class Letter(Struct, frozen=True):
    """A message that was given up."""

    connection_id: int
    message: Message
    exchange: Exchange
    reason: str
    attempts: int
    at: datetime
    is_again: bool = False  # it was one already, and was sent once more


class Records(Struct):
    counts: Counter[Count]
    samples: list[Sample]
    letters: list[Letter]
    redriven: list[int]  # ids of dead letters that were delivered after all

    def __bool__(self) -> bool:
        return bool(self.counts or self.samples or self.letters or self.redriven)


class Ledger:
    def __init__(self) -> None:
        self._records = Records(Counter(), [], [], [])
        self._sampled: Counter[tuple[int, Outcome, str]] = Counter()
        self.unwritten = 0  # dead letters, with those that are being written

    @property
    def is_full(self) -> bool:
        return self.unwritten >= MOST_UNWRITTEN

    def count(
        self, connection_id: int, outcome: Outcome, reason: str, now_ms: int, *, latency_ms: int = 0
    ) -> None:
        self._records.counts[Count(connection_id, now_ms // 60_000, outcome, reason, latency_ms)] += 1

    def wants_sample(self, connection_id: int, outcome: Outcome, reason: str) -> bool:
        return self._sampled[connection_id, outcome, reason] < SAMPLES_PER_WRITE

    def sample(self, sample: Sample) -> None:
        self._sampled[sample.connection_id, sample.outcome, sample.reason] += 1
        self._records.samples.append(sample)

    def bury(self, letter: Letter) -> None:
        self._records.letters.append(letter)
        self.unwritten += 1

    def redriven(self, letter_id: int) -> None:
        self._records.redriven.append(letter_id)

    def take(self) -> Records:
        """What is to be written; call `written` when it is."""
        records, self._records = self._records, Records(Counter(), [], [], [])
        self._sampled.clear()
        return records

    def written(self, records: Records) -> None:
        self.unwritten -= len(records.letters)

    def forget(self, connection_ids: set[int], erasure: Erasure) -> None:
        """Drop what is kept of users who were deleted."""
        records = self._records
        records.samples = [
            sample for sample in records.samples if not _is_theirs(sample, connection_ids, erasure)
        ]
        letters = [letter for letter in records.letters if not _is_theirs(letter, connection_ids, erasure)]
        self.unwritten -= len(records.letters) - len(letters)
        records.letters = letters


def _is_theirs(entry: Sample | Letter, connection_ids: set[int], erasure: Erasure) -> bool:
    return entry.connection_id in connection_ids and erasure.is_meant(entry.message)


def latency_class(latency_ms: int) -> int:
    return next((bound for bound in CLASSES_MS if latency_ms <= bound), CLASSES_MS[-1])

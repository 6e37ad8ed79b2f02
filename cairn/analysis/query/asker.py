"""Who asks: questions about one environment, for one reader, who may stop waiting."""

from dataclasses import dataclass
from typing import TypeVar

from cairn.analysis.query.plan import Question
from cairn.analysis.query.run import Questions
from cairn.store.running import Running
from cairn.store.store import Store

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Asker:
    questions: Questions
    environment_id: int
    running: Running | None = None

    def ask(self, question: Question[Answer], *, timeout_s: float | None = None) -> Answer:
        """Raises Unavailable on the question's limits, and QuestionCancelled."""
        return self.questions.ask(self.environment_id, question, timeout_s=timeout_s, running=self.running)

    @property
    def store(self) -> Store:
        """For the small look-ups beside a question."""
        return self.questions.store

"""One request of somebody, as use cases see it: whose it is, in which workspace, and when.

A use case takes a `Call` and values, opens its own transactions and publishes what it changed. The edges make the
call once they know who asks; what that person may do at all, they have checked before.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import sqlalchemy as sa

from cairn.analysis.query.asker import Asker
from cairn.analysis.query.plan import Question
from cairn.app.core import Core
from cairn.store.running import Running
from cairn.workspace.api_token import check_reach
from cairn.workspace.environment import Environment, get_environment, list_environments
from cairn.workspace.permission import Role

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Call:
    core: Core
    workspace_id: int
    by: str  # a member's e-mail address, or "token" and its name
    role: Role
    now: datetime
    running: Running | None = field(
        default=None, kw_only=True
    )  # what it asks of the event store; to be stopped by
    only_environment_id: int | None = field(default=None, kw_only=True)  # of a token that reaches no other

    def reading(self) -> AbstractContextManager[sa.Connection]:
        return self.core.reading()

    def writing(self) -> AbstractContextManager[sa.Connection]:
        return self.core.writing()

    def ask(
        self, environment_id: int, question: Question[Answer], *, timeout_s: float | None = None
    ) -> Answer:
        """Raises Unavailable on the question's limits, and QuestionCancelled when nobody waits any more."""
        return self.asker(environment_id).ask(question, timeout_s=timeout_s)

    def asker(self, environment_id: int) -> Asker:
        """For what takes several questions."""
        return Asker(self.core.questions, environment_id, self.running)

    def environment(self, name: str | int) -> Environment:
        """By id or key. Raises EnvironmentNotFound, and TokenOfOneEnvironment for one that is out of reach."""
        with self.reading() as connection:
            if self.only_environment_id is not None:
                check_reach(connection, self.workspace_id, self.only_environment_id, str(name))
            return get_environment(connection, self.workspace_id, name)

    def environments(self) -> list[Environment]:
        """Those that the caller may know of, oldest first. Answers name environments by these."""
        with self.reading() as connection:
            environments = list_environments(connection, self.workspace_id)
        return [environment for environment in environments if self.reaches(environment.id)]

    def reaches(self, environment_id: int) -> bool:
        return self.only_environment_id in (None, environment_id)

    def check_reach(self, environment: str | None) -> None:
        """Raises where the caller's token reaches one environment only, and this is another, or none is named."""
        if self.only_environment_id is not None:
            with self.reading() as connection:
                check_reach(connection, self.workspace_id, self.only_environment_id, environment)

    def check_whole_workspace(self) -> None:
        """For what concerns every environment. Raises TokenOfOneEnvironment."""
        self.check_reach(None)

    def changed(self, environment_ids: Iterable[int]) -> None:
        """Something of these environments was changed and committed."""
        for environment_id in sorted(set(environment_ids)):
            self.core.changed(environment_id)


def siblings(connection: sa.Connection, workspace_id: int, project_id: int) -> list[Environment]:
    """The environments of one project."""
    return [
        environment
        for environment in list_environments(connection, workspace_id)
        if environment.project_id == project_id
    ]

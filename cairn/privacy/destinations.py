"""Deletion of users where their events were sent: a connection's destination is asked to delete them, where it can.

What is said about it names connections and nobody else: it stays in the receipt.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.engine import reading
from cairn.errors import Unavailable
from cairn.http_client import HttpClient
from cairn.privacy.erasure import UsersToErase
from cairn.routing import connections
from cairn.routing.answer import judge
from cairn.routing.catalogue import DestinationNotFound
from cairn.routing.catalogue import destination as in_catalogue
from cairn.routing.connections import Connection
from cairn.routing.destination import Configuration, Destination, Judge, Request
from cairn.workspace.sealed import Seal


class NotDeletedThereYet(Unavailable):
    """A destination was not reached with the request to delete users. The deletion is tried again."""

    code = "not_deleted_there_yet"


@dataclass(frozen=True)
class Destinations:
    engine: sa.Engine
    seal: Seal
    client: HttpClient
    find: Callable[[str], Destination] = in_catalogue

    def forget(self, users: Sequence[UsersToErase], now: datetime, *, gives_up: bool) -> list[str]:
        """What became of it at each connection. Idempotent.

        Raises NotDeletedThereYet for what may succeed later, unless it gives up.
        """
        lines, missed = [], []
        for here in users:
            for reached in self._connections(here.environment_id):
                result = self._ask(reached, sorted(here.identities), now)
                lines.append(f"connection {reached.name}: {result.said}")
                missed += [reached.name] if result.is_missed else []
        if missed and not gives_up:
            raise NotDeletedThereYet(f"not reached: {', '.join(missed)}; the deletion is tried again")
        return lines

    def _connections(self, environment_id: int) -> list["_Connected"]:
        """Also those that are off: they may have sent something before."""
        with reading(self.engine) as connection:
            return [
                self._connected(connection, known)
                for known in connections.of_environment(connection, environment_id)
            ]

    def _connected(self, connection: sa.Connection, known: Connection) -> "_Connected":
        try:
            chosen = self.find(known.destination)
        except DestinationNotFound:
            return _Connected(known.name)
        configuration = connections.configuration_of(connection, self.seal, known, chosen)
        return _Connected(known.name, chosen, configuration)

    def _ask(self, reached: "_Connected", user_ids: list[str], now: datetime) -> "_Result":
        chosen, configuration = reached.destination, reached.configuration
        requests: list[Request] = []
        if chosen is not None and chosen.forget is not None and configuration is not None and user_ids:
            requests = chosen.forget(user_ids, configuration, now)
        if chosen is None or not requests:
            return _Result("what it sent stays there; delete it there too")
        for request in requests:
            refused = self._send(request, chosen.judge or judge, now)
            if refused is not None:
                return refused
        return _Result("asked to delete the users there, which it does in its own time")

    def _send(self, request: Request, judge: Judge, now: datetime) -> "_Result | None":
        """None: it was taken. An answer's text is left out, because it may name the user."""
        try:
            answer = self.client.send(request.call)
        except Unavailable:
            return _Result("not reached; delete the users there too", is_missed=True)
        verdict = judge(answer, now)
        if verdict.is_delivered:
            return None
        said = f"answered {answer.status}; delete the users there too"
        return _Result(said, is_missed=not verdict.is_final)


class _Connected(Struct, frozen=True):
    """A connection, and what it needs to be asked; nothing where this Cairn has its destination no more."""

    name: str
    destination: Destination | None = None
    configuration: Configuration | None = None


class _Result(Struct, frozen=True):
    said: str
    is_missed: bool = False  # it may succeed later

"""A served Cairn whose demo's server source has connections, and events sent to it as its clients send them."""

import base64
import contextlib
from collections.abc import Iterable
from typing import Any

import httpx2 as httpx
import sqlalchemy as sa

from cairn.clock import utc_now
from cairn.db.engine import reading
from cairn.db.routing_tables import dead_letters, delivery_counts, delivery_samples, delivery_states
from cairn.db.tables import environments, sources
from cairn.eventlog.log import EventLog
from cairn.paths import Paths
from cairn.routing.catalogue import destination
from cairn.routing.connections import (
    Connection,
    ConnectionChange,
    ConnectionNotFound,
    change_connection,
    create_connection,
    delete_connection,
)
from cairn.workspace.api_token import create_token
from cairn.workspace.permission import Role
from cairn.workspace.sealed import open_seal
from tests.databases import open_test_metadata
from tests.patience import PATIENCE_S, eventually
from tests.routing.target import Target
from tests.seams import open_log
from tests.served import Served

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
OPTIONS = ("--outbound-networks", "127.0.0.0/8")


class Routed:
    def __init__(self, cairn: Served) -> None:
        self.cairn = cairn
        self._made: list[Connection] = []
        self.engine: sa.Engine = open_test_metadata(cairn.data_dir)
        self.log: EventLog = open_log(Paths(cairn.data_dir).log)
        self._seal = open_seal(cairn.data_dir)
        self._key = cairn.production["write_keys"]["server"]
        self.http = httpx.Client(base_url=cairn.url, timeout=PATIENCE_S)
        with reading(self.engine) as connection:
            query = sa.select(sources.c.id, environments.c.workspace_id).join(
                environments, environments.c.id == sources.c.environment_id
            )
            production = environments.c.id == int(cairn.production["environment_id"])
            row = connection.execute(query.where(production, sources.c.kind == "server")).first()
        assert row is not None
        self.source_id, self.workspace_id = row

    def close(self) -> None:
        """Without its connections: their targets are gone."""
        for known in self._made:
            with contextlib.suppress(ConnectionNotFound):
                self.delete(known)
        self.http.close()
        self.log.close()
        self.engine.dispose()

    def connect(
        self, target: Target | None, *, slug: str = "webhook", batch: int = 1, **fields: Any
    ) -> Connection:
        """It delivers what is sent after this. Without a target its settings say where to."""
        settings = fields.pop("settings", None) or {"url": target.url if target else "", "batch": batch}
        secrets = fields.pop("secrets", {"secret": SECRET})
        with self.engine.begin() as connection:
            made = create_connection(
                connection,
                self.workspace_id,
                self.source_id,
                destination(slug),
                self._seal,
                ConnectionChange(settings=settings, secrets=secrets, **fields),
                log_end=self.log.end(),
                now=utc_now(),
            )
        self._made.append(made)
        return made

    def change(self, known: Connection, **fields: Any) -> Connection:
        with self.engine.begin() as connection:
            return change_connection(
                connection,
                self.workspace_id,
                known.id,
                destination(known.destination),
                self._seal,
                ConnectionChange(**fields),
                log_end=self.log.end(),
                now=utc_now(),
            )

    def delete(self, known: Connection) -> None:
        with self.engine.begin() as connection:
            delete_connection(connection, self.workspace_id, known.id)

    def send(self, numbers: Iterable[int], *users: str, **fields: Any) -> None:
        """One batch: for each number one event of each user."""
        batch = [
            {
                "type": "track",
                "event": "Counted",
                "userId": user,
                "messageId": f"{user}-{number}",
                "properties": {"number": number},
                **fields,
            }
            for number in numbers
            for user in users
        ]
        answer = self.http.post("/v1/batch", json={"batch": batch}, auth=(self._key, ""))
        assert answer.status_code == 200, answer.text

    def passed(self, known: Connection) -> None:
        """Wait until all that was sent so far is done at a connection."""
        end = self.log.end()
        eventually(lambda: self.log.committed(known.reader) >= end, f"{known.name} at {end}")

    def rows(self, table: sa.Table, known: Connection) -> list[Any]:
        with reading(self.engine) as connection:
            query = sa.select(table).where(table.c.connection_id == known.id)
            return list(connection.execute(query.order_by(*table.primary_key)))

    def counts(self, known: Connection) -> dict[tuple[str, str], int]:
        """By outcome and reason."""
        counted: dict[tuple[str, str], int] = {}
        for row in self.rows(delivery_counts, known):
            counted[row.outcome, row.reason] = counted.get((row.outcome, row.reason), 0) + row.count
        return counted

    def letters(self, known: Connection) -> list[Any]:
        return self.rows(dead_letters, known)

    def samples(self, known: Connection) -> list[Any]:
        return self.rows(delivery_samples, known)

    def state(self, known: Connection) -> Any:
        rows = self.rows(delivery_states, known)
        return rows[0] if rows else None


class Api:
    """The API of a served Cairn, as a program asks it."""

    def __init__(self, routed: Routed) -> None:
        self._routed = routed
        with routed.engine.begin() as connection:
            _, token = create_token(
                connection, routed.workspace_id, name="Tests", now=utc_now(), role=Role.ADMIN
            )
        self._headers = {"Authorization": f"Bearer {token}"}

    def __call__(self, method: str, path: str, *, status: int = 200, **options: Any) -> Any:
        answer = self._routed.http.request(method, f"/api/v1{path}", headers=self._headers, **options)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

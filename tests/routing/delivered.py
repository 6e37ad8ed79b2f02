"""A connection that has delivered, left out and given up messages, as delivery would have written it down."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from cairn.clock import to_ms
from cairn.db.routing_tables import dead_letters, delivery_counts, delivery_samples, delivery_states
from cairn.db.tables import sources
from cairn.routing.catalogue import destination
from cairn.routing.connections import ConnectionChange, create_connection
from cairn.workspace.sealed import Seal

SECRET = "whsec_" + "c2VjcmV0" * 6


class Delivered(Struct, frozen=True):
    source_id: int
    connection_id: int
    letter_id: int


def message(number: int, event: str = "Order Completed") -> dict[str, Any]:
    """As delivery keeps messages."""
    body = {"type": "track", "event": event, "userId": "ada@shop.test", "properties": {"total": 129.5}}
    return {
        "position": str(number),
        "source_id": 1,
        "kind": "track",
        "event": event,
        "user_id": "ada@shop.test",
        "anonymous_id": "",
        "message_id": f"m{number}",
        "received_ms": 1_764_000_000_000,
        "time_ms": 1_764_000_000_000,
        "body": body,
    }


REQUEST = {"method": "POST", "url": "https://hooks.example/cairn", "headers": {}, "body": '{"event": "x"}'}
ANSWER = {"status": 422, "content_type": "application/json", "body": '{"error": "total"}'}


def delivered_connection(
    connection: sa.Connection,
    seal: Seal,
    workspace_id: int,
    environment_id: int,
    now: datetime,
    *,
    name: str = "CRM",
    letters: int = 2,
) -> Delivered:
    server = sa.select(sources.c.id).where(
        sources.c.environment_id == environment_id, sources.c.kind == "server"
    )
    source_id = connection.execute(server.order_by(sources.c.id)).scalars().first()
    assert source_id is not None
    wanted = ConnectionChange(
        name=name, settings={"url": "https://hooks.example/cairn"}, secrets={"secret": SECRET}
    )
    made = create_connection(
        connection, workspace_id, source_id, destination("webhook"), seal, wanted, log_end=0, now=now
    )
    _count(connection, made.id, now)
    _sample(connection, made.id, now)
    return Delivered(source_id, made.id, _give_up(connection, made.id, now, letters))


def _count(connection: sa.Connection, connection_id: int, now: datetime) -> None:
    minute = to_ms(now) // 60_000
    counts = (
        ("delivered", "", 50, 90),
        ("discarded", "filtered_by_rules", 0, 5),
        ("failed", "expired", 0, 2),
    )
    rows = [
        {"outcome": outcome, "reason": reason, "latency_ms": latency_ms, "count": count}
        for outcome, reason, latency_ms, count in counts
    ]
    common = {"connection_id": connection_id, "minute": minute - 2}
    connection.execute(sa.insert(delivery_counts), [{**common, **row} for row in rows])
    state = {"state": "waiting", "detail": "answered 503: busy", "waiting": 7, "retrying": 1}
    moments = {
        "since": now - timedelta(minutes=9),
        "oldest_at": now - timedelta(minutes=9),
        "updated_at": now,
    }
    connection.execute(sa.insert(delivery_states).values(connection_id=connection_id, **state, **moments))


def _sample(connection: sa.Connection, connection_id: int, now: datetime) -> None:
    common = {"connection_id": connection_id, "at": now, "user_id": "ada@shop.test"}
    sent = {"outcome": "delivered", "reason": "", "request": REQUEST, "answer": {"status": 200}}
    left = {"outcome": "discarded", "reason": "filtered_by_rules", "request": None, "answer": None}
    rows = [{**common, **sent, "message": message(1)}, {**common, **left, "message": message(2, "Ping")}]
    connection.execute(sa.insert(delivery_samples), rows)


def _give_up(connection: sa.Connection, connection_id: int, now: datetime, letters: int) -> int:
    rows = [
        {
            "connection_id": connection_id,
            "position": str(number),
            "kind": "track",
            "event": "Order Completed",
            "user_id": f"user{number}@shop.test",
            "message": message(number),
            "request": REQUEST,
            "answer": ANSWER,
            "reason": "message_rejected" if number % 2 else "expired",
            "detail": 'answered 422: {"error": "total"}',
            "attempts": 3,
            "failed_at": now - timedelta(minutes=number),
            "expires_at": now + timedelta(days=30),
        }
        for number in range(letters)
    ]
    connection.execute(sa.insert(dead_letters), rows)
    newest = sa.select(sa.func.max(dead_letters.c.id)).where(dead_letters.c.connection_id == connection_id)
    return int(connection.execute(newest).scalar_one())

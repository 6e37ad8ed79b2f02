"""What became of the messages of a connection: counts and latencies, samples, and dead letters."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Literal, get_args

from msgspec import Struct

from cairn.app.call import Call
from cairn.app.connections import get_connection
from cairn.clock import to_ms
from cairn.routing import dead_letters, report
from cairn.routing.dead_letters import DeadLetter, WholeLetter
from cairn.routing.report import Report, Sample, State, Troubled
from cairn.workspace.environment import Environment

Period = Literal["1h", "24h", "7d", "30d"]
# Length, and the width of a bar of the chart.
_PERIODS: dict[Period, tuple[timedelta, timedelta]] = {
    "1h": (timedelta(hours=1), timedelta(minutes=1)),
    "24h": (timedelta(hours=24), timedelta(minutes=30)),
    "7d": (timedelta(days=7), timedelta(hours=6)),
    "30d": (timedelta(days=30), timedelta(days=1)),
}
PERIODS: tuple[Period, ...] = get_args(Period)
_MINUTE = timedelta(minutes=1)


class Delivery(Struct, frozen=True):
    """How a connection does, and what it did in a period."""

    state: State | None  # None: it has delivered nothing yet
    report: Report
    dead_letters: dict[str, int]  # by reason


class Standing(Struct, frozen=True):
    """How a connection does, in short."""

    state: State | None
    last_hour: dict[str, int]  # by outcome, those that there were


def read_delivery(call: Call, environment: Environment, connection_id: int, period: Period) -> Delivery:
    """Raises ConnectionNotFound."""
    get_connection(call, environment, connection_id)
    length, bar = _PERIODS[period]
    until, width = _minute(call) + 1, bar // _MINUTE
    with call.reading() as connection:
        return Delivery(
            report.read_states(connection, [connection_id]).get(connection_id),
            report.read_report(
                connection, connection_id, since=until - length // _MINUTE, until=until, width=width
            ),
            dead_letters.count_letters(connection, connection_id),
        )


def read_standings(call: Call, connection_ids: Iterable[int]) -> dict[int, Standing]:
    """Of connections that the caller may see."""
    ids = list(connection_ids)
    until = _minute(call) + 1
    with call.reading() as connection:
        states = report.read_states(connection, ids)
        counts = report.count_outcomes(connection, ids, since=until - 60, until=until)
    return {number: Standing(states.get(number), counts.get(number, {})) for number in ids}


def list_troubled(call: Call, environment: Environment) -> list[Troubled]:
    """Connections that wait for their destination or gave messages up in the last hour, the longest first."""
    with call.reading() as connection:
        return report.troubled(connection, environment.id, since=_minute(call) - 60)


def list_samples(
    call: Call,
    environment: Environment,
    connection_id: int,
    *,
    outcome: str = "",
    reason: str = "",
    limit: int = 50,
) -> list[Sample]:
    """The newest first. Raises ConnectionNotFound."""
    get_connection(call, environment, connection_id)
    with call.reading() as connection:
        return report.list_samples(connection, connection_id, outcome=outcome, reason=reason, limit=limit)


def list_letters(
    call: Call,
    environment: Environment,
    connection_id: int,
    *,
    reason: str = "",
    before: int = 0,
    limit: int = 50,
) -> tuple[list[DeadLetter], int]:
    """The newest first, and from where the next ones go on; 0: these were all. Raises ConnectionNotFound."""
    get_connection(call, environment, connection_id)
    with call.reading() as connection:
        found = dead_letters.list_letters(
            connection, connection_id, reason=reason, before=before, limit=limit + 1
        )
    return found[:limit], found[limit - 1].id if len(found) > limit else 0


def get_letter(call: Call, environment: Environment, connection_id: int, letter_id: int) -> WholeLetter:
    """Raises ConnectionNotFound and DeadLetterNotFound."""
    get_connection(call, environment, connection_id)
    with call.reading() as connection:
        return dead_letters.get_letter(connection, connection_id, letter_id)


def redrive_letter(call: Call, environment: Environment, connection_id: int, letter_id: int) -> DeadLetter:
    """Delivery sends it again, by the connection as it is set now. Raises as `get_letter`."""
    get_connection(call, environment, connection_id)
    with call.writing() as connection:
        return dead_letters.redrive_letter(connection, connection_id, letter_id, call.now)


def redrive_letters(call: Call, environment: Environment, connection_id: int, reason: str = "") -> int:
    """All of them, or those of a reason; how many. Raises ConnectionNotFound."""
    get_connection(call, environment, connection_id)
    with call.writing() as connection:
        return dead_letters.redrive_letters(connection, connection_id, reason, call.now)


def delete_letter(call: Call, environment: Environment, connection_id: int, letter_id: int) -> None:
    """Raises as `get_letter`."""
    get_connection(call, environment, connection_id)
    with call.writing() as connection:
        dead_letters.delete_letter(connection, connection_id, letter_id)


def delete_letters(call: Call, environment: Environment, connection_id: int, reason: str = "") -> int:
    """All of them, or those of a reason; how many. Raises ConnectionNotFound."""
    get_connection(call, environment, connection_id)
    with call.writing() as connection:
        return dead_letters.delete_letters(connection, connection_id, reason)


def _minute(call: Call) -> int:
    return to_ms(call.now) // 60_000

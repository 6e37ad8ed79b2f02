"""What the labeller asks from a customer's page: how things stand, how much candidates match, and to define one event.

Pages of any origin may ask, with the signed grant of a labeller's link and nothing else; no cookie is read. A member's
role and environment are looked up at every call, so taking them away ends an open labeller.
"""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from cairn.api.body import read_body
from cairn.api.endpoint import decode_body
from cairn.api.problem import WrongMethod, answer, problem_of
from cairn.app.core import Core
from cairn.clock import from_ms, to_ms
from cairn.conditions.tree import EventMatch
from cairn.definitions.defined_event import create_defined_event, list_defined_events
from cairn.definitions.model import DefinedEvent, Definition, NewDefinedEvent, Part, check_definition
from cairn.definitions.volume import DAYS, Recent, recents
from cairn.errors import InvalidInput, LimitExceeded
from cairn.workspace.environment import Environment, get_environment
from cairn.workspace.label_grant import PURPOSE, LabelGrant, LabelLinkExpired, read_grant
from cairn.workspace.member import Member, MemberNotFound, get_member
from cairn.workspace.permission import Verb, may, require

PREFIX = "/api/label"
MOST_CALLS, WINDOW_S = 120, 60  # of one member; a click in the labeller is one call
PREFLIGHT_S = 7_200  # browsers keep a preflight this long at most


class LabellerTooFast(LimitExceeded):
    """The labeller of one member may ask 120 times a minute. Wait as long as the message says."""

    code = "labeller_too_fast"
    status = 429

    def __init__(self, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"too many questions at once; try again in {retry_after_s} s")


class Known(Struct, frozen=True):
    """A defined event the labeller can point at."""

    id: int
    name: str
    category: str
    url: str  # its page in Cairn
    parts: tuple[Part, ...]


class Standing(Struct, frozen=True):
    environment: str
    app_id: str
    may_define: bool
    until: datetime
    days: int  # counts are of so many
    categories: list[str]
    events: list[Known]


class Candidates(Struct, frozen=True, forbid_unknown_fields=True):
    """Each part is counted by itself."""

    parts: tuple[Part, ...]


class Counted(Struct, frozen=True):
    days: int
    counts: list[Recent]  # in the order of the parts


class Defined(Struct, frozen=True):
    event: Known
    recent: Recent
    days: int


@dataclass(frozen=True)
class Asked:
    """One call: whose it is, and where."""

    core: Core
    connection: sa.Connection
    grant: LabelGrant
    member: Member
    environment: Environment
    now: datetime

    def known(self, event: DefinedEvent) -> Known:
        url = f"{self.grant.home}/env/{self.environment.id}/events/{event.id}"
        return Known(event.id, event.name, event.category, url, event.definition.parts)

    def recents(self, matches: list[EventMatch]) -> list[Recent]:
        return recents(self.core.store, self.environment.id, matches, self.now)


class Pace:
    """How often each member asks, in memory of one process. Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._window = 0
        self._calls: Counter[int] = Counter()

    def count(self, member_id: int, now: datetime) -> None:
        """Raises LabellerTooFast."""
        second = to_ms(now) // 1000
        with self._lock:
            if second // WINDOW_S != self._window:
                self._window = second // WINDOW_S
                self._calls.clear()
            if self._calls[member_id] >= MOST_CALLS:
                raise LabellerTooFast(WINDOW_S - second % WINDOW_S)
            self._calls[member_id] += 1


def read_standing(asked: Asked) -> Standing:
    events = list_defined_events(asked.connection, asked.member.workspace_id, asked.environment.project_id)
    return Standing(
        environment=asked.environment.name,
        app_id=asked.environment.app_id,
        may_define=may(asked.member.role, Verb.DEFINE),
        until=from_ms(asked.grant.until_ms),
        days=DAYS,
        categories=sorted({event.category for event in events if event.category}),
        events=[asked.known(event) for event in events],
    )


def count_candidates(asked: Asked, body: Candidates) -> Counted:
    if not body.parts:
        return Counted(DAYS, [])
    check_definition(Definition(body.parts))
    matches: list[EventMatch] = [*asked.core.definitions.matches_of_parts(asked.environment.id, body.parts)]
    return Counted(DAYS, asked.recents(matches))


def define(asked: Asked, body: NewDefinedEvent) -> Defined:
    """Raises RoleTooLow, and what `create_defined_event` raises."""
    require(asked.member.role, Verb.DEFINE)
    if body.definition.events:
        raise InvalidInput(
            "definition.events: the labeller defines events by elements; make a combo in Cairn",
            field="definition.events",
        )
    event = create_defined_event(
        asked.connection, asked.member.workspace_id, asked.environment.project_id, body, asked.now,
        by=asked.member.email,
    )  # fmt: skip
    match = asked.core.definitions.matches_of(asked.connection, asked.environment.id, event.definition)
    return Defined(asked.known(event), asked.recents([match])[0], DAYS)


@dataclass(frozen=True)
class Way:
    """One thing that can be asked."""

    method: str
    run: Callable[..., Any]  # Any: what each answers
    body: Any = None
    changes: bool = False
    status: int = 200


WAYS: dict[str, Way] = {
    "/standing": Way("GET", read_standing),
    "/counts": Way("POST", count_candidates, Candidates),
    "/events": Way("POST", define, NewDefinedEvent, changes=True, status=201),
}


def labeller_routes(core: Core) -> list[BaseRoute]:
    pace = Pace()
    key = core.seal.key_for(PURPOSE)
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    return [
        Route(PREFIX + path, _handler(core, key, pace, way), methods=methods) for path, way in WAYS.items()
    ]


def _handler(core: Core, key: bytes, pace: Pace, way: Way) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        if request.method == "OPTIONS":
            return _open_to_pages(Response(status_code=204), way)
        try:
            if request.method != way.method:
                raise WrongMethod(way.method)
            body = await read_body(request) if way.body is not None else b""
            given = request.headers.get("authorization", "")
            return _open_to_pages(await run_in_threadpool(_answer, core, key, pace, way, given, body), way)
        except Exception as error:  # the request boundary
            return _open_to_pages(answer(problem_of(error)), way)

    return handle


def _answer(core: Core, key: bytes, pace: Pace, way: Way, header: str, body: bytes) -> Response:
    now = core.clock()
    scheme, _, token = header.partition(" ")
    grant = read_grant(key, token.strip() if scheme.lower() == "bearer" else "", now)
    pace.count(grant.member_id, now)
    with core.writing() if way.changes else core.reading() as connection:
        try:
            member = get_member(connection, grant.workspace_id, grant.member_id)
        except MemberNotFound as error:
            raise LabelLinkExpired(
                "who opened the labeller is no longer a member; open it anew from Events in Cairn"
            ) from error
        require(member.role, Verb.SEE)
        environment = get_environment(connection, grant.workspace_id, grant.environment_id)
        asked = Asked(core, connection, grant, member, environment, now)
        found = way.run(asked, **({} if way.body is None else {"body": decode_body(body, way.body)}))
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(found), way.status, headers, "application/json")


def _open_to_pages(response: Response, way: Way) -> Response:
    """The grant is in a header that only our own script sends, so any origin may ask and no cookie counts."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Expose-Headers"] = "Retry-After"
    response.headers["Access-Control-Allow-Methods"] = way.method
    response.headers["Access-Control-Allow-Headers"] = "authorization, content-type"
    response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_S)
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response

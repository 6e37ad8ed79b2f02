"""What the labeller asks from a customer's page: how things stand, how much candidates match, and to define one event.

Pages of any origin may ask, with the signed grant of a labeller's link and nothing else; no cookie is read. A member's
role and environment are looked up at every call, so taking them away ends an open labeller.
"""

import threading
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from msgspec import Struct
from starlette.requests import Request

from cairn.analysis.volume import DAYS, Recent
from cairn.api.caller import bearer_of
from cairn.api.endpoint import Endpoint, Surface
from cairn.app import defined_events
from cairn.app.access import call_of_grant, exchange_label_code
from cairn.app.call import Call
from cairn.app.core import Core
from cairn.clock import to_ms
from cairn.definitions.model import DefinedEvent, NewDefinedEvent, Part
from cairn.errors import LimitExceeded
from cairn.workspace.environment import Environment
from cairn.workspace.label_grant import LabelGrant
from cairn.workspace.permission import Verb, may

PREFIX = "/api/label"
MOST_CALLS, WINDOW_S = 120, 60  # of one member; a click in the labeller is one call


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


class Token(Struct, frozen=True):
    token: str


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
class LabelCall(Call):
    """A member's call by a grant: for one environment, and until the grant ends."""

    environment_here: Environment
    grant: LabelGrant

    def known(self, event: DefinedEvent) -> Known:
        url = f"{self.grant.home}/env/{self.environment_here.id}/events/{event.id}"
        return Known(event.id, event.name, event.category, url, event.definition.parts)


@dataclass(frozen=True)
class ExchangeCall(Call):
    """A member's call by the code of a link that was just opened."""

    token: str


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


def read_standing(call: LabelCall) -> Standing:
    """How things stand: what is defined, and what the member may do."""
    here = call.environment_here
    events = defined_events.list_defined_events(call, here)
    return Standing(
        environment=here.name,
        app_id=here.app_id,
        may_define=may(call.role, Verb.DEFINE),
        until=call.grant.until,
        days=DAYS,
        categories=sorted({event.category for event in events if event.category}),
        events=[call.known(event) for event in events],
    )


def count_candidates(call: LabelCall, body: Candidates) -> Counted:
    """How much each part matched."""
    return Counted(DAYS, defined_events.count_parts(call, call.environment_here, body.parts))


def define(call: LabelCall, body: NewDefinedEvent) -> Defined:
    """Define an event by its elements."""
    event, recent = defined_events.label_event(call, call.environment_here, body)
    return Defined(call.known(event), recent, DAYS)


ENDPOINTS = (
    Endpoint("GET", "/standing", Verb.SEE, read_standing),
    Endpoint("POST", "/counts", Verb.SEE, count_candidates),
    Endpoint("POST", "/events", Verb.DEFINE, define, status=201),
)


def exchange(call: ExchangeCall) -> Token:
    """Exchange a link's code, which works once, for the token that asks everything else."""
    return Token(call.token)


def _origin(request: Request) -> str:
    """Of the page that asks, as its browser says; pages cannot say another one."""
    return str(request.headers.get("origin", ""))


def _by_code(core: Core, request: Request) -> ExchangeCall:
    now = core.clock()
    call, token = exchange_label_code(core, bearer_of(request), _origin(request), now)
    return ExchangeCall(core, call.workspace_id, call.by, call.role, now, token)


EXCHANGE = Surface(
    PREFIX, (Endpoint("POST", "/exchange", Verb.SEE, exchange),), _by_code, is_open_to_pages=True
)


def labeller_surface() -> Surface:
    pace = Pace()

    def by_grant(core: Core, request: Request) -> LabelCall:
        now = core.clock()
        call, environment, grant = call_of_grant(core, bearer_of(request), _origin(request), now)
        pace.count(grant.member.id, now)
        return LabelCall(core, call.workspace_id, call.by, call.role, now, environment, grant)

    return Surface(PREFIX, ENDPOINTS, by_grant, is_open_to_pages=True)

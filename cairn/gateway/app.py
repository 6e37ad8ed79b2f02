"""The gateway: what flag SDKs ask, answered from memory and the members store with everything else down.

An SDK blocks its application on a slow or failing gateway, so every look-up is time-boxed and every failure has a safe
answer (contracts/wingify.md 3, 4, 17). Rules are evaluated inside the SDK; nothing is decided here but membership.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from time import perf_counter
from typing import Any, TypeVar

import msgspec

from cairn.clock import Clock, to_ms
from cairn.errors import CairnError
from cairn.event import Arrival, Refused
from cairn.gateway.aliases import alias_body, answer_of, asked_ids, get_aliases, is_id, set_alias
from cairn.gateway.answers import (
    EMPTY,
    FALSE,
    TRUE,
    Answer,
    Disconnected,
    Receive,
    Request,
    Scope,
    Send,
    refusal,
    say,
)
from cairn.gateway.arrival import arrival_of
from cairn.gateway.health import MOST_PROBLEMS, Health, SeenSdk, problem_in
from cairn.gateway.list_check import question
from cairn.gateway.settings_file import SettingsFiles, document_for, is_python
from cairn.ingest.details import details
from cairn.ingest.location import Locate, locate_nothing
from cairn.members.askers import note_python
from cairn.members.sets import Members, Published, folded, list_set
from cairn.outcomes import Reason
from cairn.published.directory import Directory, Sdk
from cairn.wire.refusal import Rejected, refused
from cairn.wire.wingify import MOST_EVENT_BYTES as LONGEST_EVENT_BYTES
from cairn.wire.wingify import count_events, keys_in

logger = logging.getLogger(__name__)
T = TypeVar("T")

Append = Callable[[list[Arrival]], Awaitable[None]]  # returns when the arrivals are durable

# Longest wait for the members store, which answers in microseconds unless the machine starves.
LOOK_UP_S = 0.25
# Settings may wait longer: SDKs allow 50 s, and bad first settings keep a process off for good.
SETTINGS_S = 2.0
# The first user agent after a start loads the patterns; the Python SDK waits 3 s for a call.
DETAILS_S = 2.0
WRITE_S = 2.0  # Python gives a call 3 s
LOOK_UP_THREADS = 4  # a look-up takes microseconds; more threads only help when the disk stalls
# One event; larger ones are refused visibly, never with a status that is retried.
MOST_EVENT_BYTES = 1_048_576
MOST_BATCH_BYTES = 10_485_760  # 5,000 events of 2 KB
MOST_BATCH_EVENTS = 5_000
SMALL_BATCH_BYTES = 65_536  # read at once; a larger one beside the event loop

SETTINGS_PATHS = ("/server-side/v2-settings", "/server-side/v2-pull")
EVENT_PATH = "/events/t"
BATCH_PATH = "/server-side/batch-events-v2"


NEEDS_SERVER_KEY = "this environment takes events only with its server SDK key; see Environments"
_NO_SETTINGS = refusal("settings are not at hand")
_NOT_SET = Answer(b'{"isAliasSet":false}')


class _Route(msgspec.Struct, frozen=True):
    handler: Callable[[Request], Awaitable[Answer]]
    safe: Answer  # what is said when the handler fails or is out of time
    box_s: float | None  # None: it minds its own time, or takes what the disk needs to be durable


class Gateway:
    """An ASGI application for the paths it `handles`.

    `refresh` is called (in a thread) before a key or list is declared unknown, so that one made a moment ago is found.
    """

    def __init__(
        self,
        members: Members,
        published: Published,
        directory: Callable[[], Directory],
        append: Append,
        clock: Clock,
        *,
        refresh: Callable[[], None] = lambda: None,
        refuse: Callable[[Refused], None] = lambda _: None,
        poll_interval_ms: int = 30_000,
        look_up_s: float = LOOK_UP_S,
        details_s: float = DETAILS_S,
        locate: Locate = locate_nothing,
    ) -> None:
        self._members = members
        self._directory = directory
        self._append = append
        self._look_up_s = look_up_s
        self._clock = clock
        self._refresh, self._refuse = refresh, refuse
        self._locate = locate
        self._files = SettingsFiles(published, poll_interval_ms=poll_interval_ms)
        self._health = Health()
        self._noted: dict[int, date] = {}  # by environment: the day on which Python's SDK was last noted
        self._threads = ThreadPoolExecutor(LOOK_UP_THREADS, thread_name_prefix="gateway")
        self._routes: dict[tuple[str, str], _Route] = {
            ("GET", "/server-side/v2-settings"): _Route(self._settings, _NO_SETTINGS, None),
            ("GET", "/server-side/v2-pull"): _Route(self._settings, _NO_SETTINGS, None),
            ("GET", "/get-user-details"): _Route(self._details, EMPTY, details_s),
            ("GET", "/check-attribute"): _Route(self._list_check, FALSE, look_up_s),
            ("POST", EVENT_PATH): _Route(self._event, refusal("the event could not be stored"), None),
            ("POST", BATCH_PATH): _Route(self._batch, refusal("the events could not be stored"), None),
            ("POST", "/user-alias/setUserAlias"): _Route(self._set_alias, _NOT_SET, WRITE_S),
            ("GET", "/user-alias/getAliasUserId"): _Route(self._get_alias, Answer(b"[]"), None),
        }

    @staticmethod
    def handles(method: str, path: str) -> bool:
        return _route_of(path) in PATHS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        path = _route_of(request.path)
        if request.method == "OPTIONS":
            await say(send, Answer(b"", 200))
            return
        route = self._routes.get((request.method, path))
        if route is None:
            self._health.count("refused_requests")
            await say(send, refusal(f"{path} does not answer {request.method}"))
            return
        started = perf_counter()
        try:
            async with asyncio.timeout(route.box_s):
                answer = await route.handler(request)
        except Disconnected:
            return
        except TimeoutError:
            self._health.count("timeouts")
            answer = route.safe
        except Exception:
            logger.exception("gateway_failed", extra={"path": path})
            self._health.count("failures")
            answer = route.safe
        if perf_counter() - started > LOOK_UP_S:
            self._health.count("slow_answers")
        await say(send, answer)

    def health(self) -> dict[str, Any]:  # Any: one JSON document
        return self._health.report(self._files.refused)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _settings(self, request: Request) -> Answer:
        sdk_key = request.parameter("i")
        sdk = await self._sdk(sdk_key)
        if sdk is None:
            self._health.count("unknown_keys")
            return refusal("no environment has this SDK key; copy it again from Environments")
        self._health.count("settings")
        if seen := self._saw(request, sdk.environment_id):
            seen.settings_fetched += 1
        if is_python(request.parameter("sn")):
            self._note_python(sdk.environment_id)
        name = document_for(sdk.environment_id, request.parameter("sn"))
        compressed = "gzip" in request.header(b"accept-encoding").lower()
        try:
            async with asyncio.timeout(SETTINGS_S):
                body = await self._in_thread(
                    lambda: self._files.file(name, sdk_key, sdk.account_id, compressed=compressed)
                )
        except (CairnError, TimeoutError):
            held = self._files.held(name, sdk_key, compressed=compressed)
            if held is None:
                raise
            logger.warning("settings_not_read", extra={"document": name})
            self._health.count("failures")
            body = held
        headers = ((b"vary", b"accept-encoding"),)
        return Answer(body, headers=(*headers, (b"content-encoding", b"gzip")) if compressed else headers)

    def _note_python(self, environment_id: int) -> None:
        """Beside the answer: who asks does not wait for the disk."""
        today = self._clock().date()
        if self._noted.get(environment_id) == today:
            return
        self._noted[environment_id] = today

        def note() -> None:
            try:
                note_python(self._members, environment_id, today)
            except CairnError as error:
                self._noted.pop(environment_id, None)  # the next one that asks is noted
                logger.warning("python_not_noted", extra={"environment": environment_id, "why": str(error)})

        self._threads.submit(note)

    async def _details(self, request: Request) -> Answer:
        self._health.count("details")
        agent, ip = request.parameter("userAgent"), request.parameter("ipAddress")
        if not agent and not ip:
            return EMPTY  # the Node SDK asks before every list check
        visitor_details = await self._in_thread(lambda: details(agent, ip, locate=self._locate))
        return Answer(msgspec.json.encode(visitor_details))

    async def _list_check(self, request: Request) -> Answer:
        self._health.count("list_checks")
        check = question(request.query)
        if check is None:
            return FALSE
        listed = self._directory().lists.get(check.list_id)
        if listed is None:
            listed = (await self._refreshed()).lists.get(check.list_id)
        if listed is None or str(listed[0]) != check.account_id:
            self._health.count("unknown_lists")
            return FALSE
        values = [folded(value) for value in check.values] if listed[1] else list(check.values)
        name = list_set(check.list_id)
        if not await self._in_thread(lambda: self._members.which(name, values)):
            return FALSE
        self._health.count("list_hits")
        return TRUE

    async def _event(self, request: Request) -> Answer:
        self._health.count("events")
        body = await request.body(MOST_EVENT_BYTES)
        sdk = await self._sender(request, *keys_in(body or b""))
        if sdk is None or not sdk.may_write:
            return self._refused_key(request, sdk, body or b"")
        name = request.parameter("en")
        seen = self._saw(request, sdk.environment_id)
        if seen and body is not None:
            self._note(seen, name, body)
        whole = body is not None and len(body) <= LONGEST_EVENT_BYTES
        rejected = (
            None
            if whole
            else Rejected(Reason.BODY_TOO_LARGE, "one event may have 32 KB; send fewer properties")
        )
        await self._append(
            [arrival_of("wingify.event", request, sdk.environment_id, body or b"", self._now_ms(), rejected)]
        )
        return EMPTY

    async def _batch(self, request: Request) -> Answer:
        self._health.count("batches")
        sdk = await self._sender(request)
        if sdk is None or not sdk.may_write:
            return self._refused_key(request, sdk, await request.beginning(MOST_BATCH_BYTES))
        body = await request.body(MOST_BATCH_BYTES)
        count, rejected = await self._count(body) if body is not None else (MOST_BATCH_EVENTS + 1, None)
        if body is None or count > MOST_BATCH_EVENTS:
            self._health.count("refused_requests")
            return refusal(f"a batch holds at most {MOST_BATCH_EVENTS} events in 10 MB", status=413)
        self._saw(request, sdk.environment_id)
        await self._append(
            [arrival_of("wingify.batch", request, sdk.environment_id, body, self._now_ms(), rejected)]
        )
        return EMPTY

    async def _count(self, body: bytes) -> tuple[int, Rejected | None]:
        """How many events, or why the batch cannot be read: the log holds only what is cheap to read."""
        try:
            if len(body) <= SMALL_BATCH_BYTES:
                return count_events(body), None
            return await self._in_thread(lambda: count_events(body)), None
        except Rejected as rejected:
            return (MOST_BATCH_EVENTS + 1 if rejected.reason is Reason.TOO_MANY_EVENTS else 0), rejected

    def _refused_key(self, request: Request, sdk: Sdk | None, body: bytes) -> Answer:
        """No key at all (an account's id is not a secret), or a public one where the server's is needed.

        400, because SDKs do not send that again.
        """
        if sdk is None:
            rejected = Rejected(
                Reason.UNKNOWN_KEY, "env: no environment has this SDK key; copy it again from Environments"
            )
        else:
            rejected = Rejected(Reason.SERVER_KEY_NEEDED, NEEDS_SERVER_KEY)
        self._health.count("unknown_keys" if sdk is None else "public_keys")
        arrival = arrival_of("wingify.event", request, sdk.environment_id if sdk else 0, body, self._now_ms())
        self._refuse(refused(arrival, rejected, body, name=request.parameter("en")))
        return refusal(rejected.detail)

    async def _set_alias(self, request: Request) -> Answer:
        ids = alias_body(await request.body(MOST_EVENT_BYTES))
        user_id = ids.get("userId") or request.parameter("userId")
        alias_id = ids.get("aliasId") or request.parameter("aliasId")
        sdk = await self._sdk(request.parameter("sdkKey"))
        if sdk is None or not is_id(user_id) or not is_id(alias_id):
            self._health.count("refused_requests")
            return refusal("setUserAlias needs sdkKey, userId and aliasId, each up to 255 characters")
        if not sdk.may_write:
            self._health.count("public_keys")
            return refusal(NEEDS_SERVER_KEY)
        now_ms = self._now_ms()
        await self._in_thread(
            lambda: set_alias(
                self._members, sdk.environment_id, user_id=user_id, alias_id=alias_id, now_ms=now_ms
            ),
        )
        self._health.count("aliases_set")
        return Answer(b'{"isAliasSet":true}')

    async def _get_alias(self, request: Request) -> Answer:
        self._health.count("aliases_asked")
        ids = asked_ids(request.query)
        users_by_alias: dict[str, str] = {}
        try:
            async with asyncio.timeout(self._look_up_s):
                if sdk := await self._sdk(request.parameter("sdkKey")):
                    users_by_alias = await self._in_thread(
                        lambda: get_aliases(self._members, sdk.environment_id, ids)
                    )
        except TimeoutError:
            self._health.count("timeouts")
        except CairnError:
            self._health.count("failures")
        return Answer(msgspec.json.encode(answer_of(ids, users_by_alias)))

    async def _sdk(self, sdk_key: str) -> Sdk | None:
        if not sdk_key:
            return None
        return self._directory().sdk(sdk_key) or (await self._refreshed()).sdk(sdk_key)

    async def _refreshed(self) -> Directory:
        """The directory, read again from what is published; the present one when that fails."""
        try:
            async with asyncio.timeout(self._look_up_s):
                await self._in_thread(self._refresh)
        except TimeoutError:
            self._health.count("timeouts")
        except CairnError:
            self._health.count("failures")
        return self._directory()

    async def _sender(self, request: Request, *body_keys: str) -> Sdk | None:
        """The owner of an event; None without a known SDK key.

        The body's own is for addresses that were cut: Node writes an event's name with `#` as it is.
        """
        for sdk_key in (request.parameter("env"), request.header(b"authorization"), *body_keys):
            if sdk := await self._sdk(sdk_key):
                return sdk
        return None

    def _saw(self, request: Request, environment_id: int) -> SeenSdk | None:
        if not environment_id:
            return None  # anyone could fill the memory with names
        return self._health.saw(
            environment_id, request.parameter("sn"), request.parameter("sv"), self._now_ms()
        )

    def _note(self, seen: SeenSdk, event_name: str, body: bytes) -> None:
        if event_name == "vwo_fmeSdkInit":
            seen.starts += 1
        elif event_name == "vwo_sdkDebug":
            seen.problems = [*seen.problems, problem_in(body, seen.last_seen_ms)][-MOST_PROBLEMS:]

    def _now_ms(self) -> int:
        return to_ms(self._clock())

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """A look-up that may wait for the disk, so never on the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


PATHS = frozenset(
    (
        *SETTINGS_PATHS,
        "/get-user-details",
        "/check-attribute",
        EVENT_PATH,
        BATCH_PATH,
        "/user-alias/setUserAlias",
        "/user-alias/getAliasUserId",
    )
)


def _route_of(path: str) -> str:
    """The path without the collection prefix, which only the two event paths may carry."""
    for suffix in (EVENT_PATH, BATCH_PATH):
        if path.endswith(suffix) and path.count("/") == suffix.count("/") + 1:
            return suffix
    return path

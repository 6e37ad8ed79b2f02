"""Live segments: members follow what the loader names, what time ends, and what people define.

One thread decides everything, so a full count can never race with a live evaluation. Each pass: read the definitions,
evaluate the users touched, sweep what only time changes, and count in full what is due. Membership is kept in the
members store; while this is down it stays as it is, and at the start every segment is counted once to catch up.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager

import sqlalchemy as sa
from msgspec import Struct

from cairn.clock import Clock, to_ms
from cairn.db.engine import reading
from cairn.definitions.matching import Definitions
from cairn.errors import CairnError, Unavailable
from cairn.identity.merges import canonical
from cairn.ingest.loaded import Loaded
from cairn.members.sets import Members
from cairn.segments.definition import add_missing_states, missing_states
from cairn.segments.meaning import resolve_watched
from cairn.segments.membership import Answer, apply_answers, drop_members, replace_members
from cairn.segments.pending import Pending, touched
from cairn.segments.questions import (
    CONDITIONS_PER_QUESTION,
    answers_for,
    count_everybody,
    identities_of,
    swept_users,
)
from cairn.segments.watched import Place, Watched, read_watched, save_states
from cairn.store.errors import QuestionTooExpensive
from cairn.store.schema import IDENTITY_KEY
from cairn.store.store import Store

logger = logging.getLogger(__name__)

TICK_S = 0.25  # longest sleep, so that a stop and a new segment are noticed soon
GATHER_S = 0.005  # the loader names users batch by batch; the next one is often close behind
LONGEST_PAUSE_S = 2.0  # between passes under load; users gather meanwhile and share a question
REFRESH_MS = 500  # how soon a new or edited segment is noticed
SWEEP_MS = 1_000  # how late a membership that only time ends may end
SWEEP_SHARE = 20  # a sweep of d takes place at most every 20 d: 5 % of one core
LONGEST_SWEEP_MS = 3_600_000  # further back the full count at the start is cheaper, and happens anyway
SAVE_MS = 1_000  # how often sizes are written for the pages
COUNT_INSTEAD = 20_000  # touched users; more at once are a bulk load, and a full count is cheaper
GRACE_MS = 2_000  # an event may be counted in full a moment before the loader names its user: no drift
CLOCK_STEP_MS = 60_000  # a clock set back by more makes every answer doubtful
FIRST_RETRY_MS, LONGEST_RETRY_MS = 5_000, 600_000  # of a segment that cannot be answered


class SegmentStatus(Struct, frozen=True):
    environment_id: int
    segment_id: int
    key: str
    users: int
    identified: int
    is_counted: bool  # do its members belong to the definition in force?
    counted_ms: int  # epoch milliseconds; 0 never
    count_ms: int  # how long the last full count took
    drift: int
    error: str


class LiveStatus(Struct, frozen=True):
    pending_users: int
    last_evaluation_ms: float  # how long the last one took
    last_latency_ms: float  # from the loader's word to the members store
    last_sweep_ms: float
    last_error: str  # of the last pass; empty: it went well
    segments: tuple[SegmentStatus, ...]


class LiveSegments:
    """`on_change` hears of environments whose attribute lists changed, in the evaluating thread."""

    def __init__(
        self,
        engine: sa.Engine,
        store: Store,
        members: Members,
        clock: Clock,
        *,
        recount_interval_s: float,
        on_change: Callable[[set[int]], None],
        definitions: Definitions | None = None,
    ) -> None:
        self._definitions = definitions or Definitions(store)
        self._engine, self._store, self._members, self._clock = engine, store, members, clock
        self._recount_ms = int(recount_interval_s * 1000)
        self._on_change = on_change
        self._pending = Pending()
        self._working = threading.Lock()
        self._watched: dict[Place, Watched] = {}
        self._swept_ms: dict[int, int] = {}  # by environment
        self._refreshed_ms = self._saved_ms = self._sweep_at_ms = self._sweep_pause_ms = 0
        self._evaluation_ms = self._latency_ms = self._sweep_ms = 0.0
        self._error = ""

    def touched(self, batch: list[Loaded]) -> None:
        """The loader's word that these users changed and that the store has it. Cheap, from any thread."""
        self._pending.add(batch)

    def run(self, stop: threading.Event) -> None:
        """Keep segments live until told to stop."""
        failures, is_more_due = 0, True
        while not stop.is_set():
            if not is_more_due and self._pending.wait(TICK_S):
                stop.wait(GATHER_S)
            started = time.perf_counter()
            try:
                is_more_due = self._pass(is_urgent=False)
                failures, pause_s = 0, min(time.perf_counter() - started, LONGEST_PAUSE_S)
            except Exception as error:  # the job boundary: nothing is lost, the users are still pending
                failures, is_more_due = failures + 1, False
                pause_s = min(0.1 * 2**failures, 5.0)
                level = logging.WARNING if isinstance(error, Unavailable) else logging.ERROR
                logger.log(level, "live segments wait %.1f s and try again", pause_s, exc_info=error)
            stop.wait(pause_s)
        with self._working:
            self._save(to_ms(self._clock()))

    @property
    def error(self) -> str:
        """Why the last pass failed; empty: it did not."""
        return self._error

    def settle(self) -> None:
        """Do everything that is due now, at once. Raises what a pass raises."""
        while self._pass(is_urgent=True) or self._pending.users():
            pass

    @contextmanager
    def paused(self, environment_ids: Set[int]) -> Iterator[None]:
        """No pass runs meanwhile. What was done to the sets of these environments is measured and published after."""
        with self._working:
            try:
                yield
            finally:
                for watched in self._watched.values():
                    if watched.environment_id in environment_ids:
                        self._measure(watched)
        self._on_change(set(environment_ids))

    def status(self) -> LiveStatus:
        some = sorted(self._watched.values(), key=lambda watched: watched.place)
        return LiveStatus(
            pending_users=self._pending.users(),
            last_evaluation_ms=self._evaluation_ms,
            last_latency_ms=self._latency_ms,
            last_sweep_ms=self._sweep_ms,
            last_error=self._error,
            segments=tuple(
                SegmentStatus(
                    w.environment_id, w.segment_id, w.key, w.users, w.identified, w.is_current, w.counted_ms,
                    w.count_ms, w.drift, w.error,
                )
                for w in some
            ),
        )  # fmt: skip

    def _pass(self, *, is_urgent: bool) -> bool:
        """One round. `is_urgent`: sweep and save now. True: more full counts are due."""
        with self._working:
            now_ms = to_ms(self._clock())
            taken: list[Loaded] = []
            try:
                if is_urgent or abs(now_ms - self._refreshed_ms) >= REFRESH_MS:
                    self._refresh(now_ms)
                heard, taken = time.perf_counter(), self._pending.take()
                resolve_watched(self._watched.values(), self._engine, self._definitions)
                for loaded in list(taken):
                    self._evaluate(loaded, now_ms)
                    taken.remove(loaded)
                    self._evaluation_ms = (time.perf_counter() - heard) * 1000
                    self._latency_ms = self._evaluation_ms + self._pending.waited_ms
                if is_urgent or not 0 <= now_ms - self._sweep_at_ms < self._sweep_pause_ms:
                    self._sweep(now_ms)
                is_more_due = self._count_due(now_ms)
                self._judge_suspects(now_ms)
                if is_urgent or abs(now_ms - self._saved_ms) >= SAVE_MS:
                    self._save(now_ms)
            except BaseException as error:
                self._pending.add(taken)
                self._error = str(error)
                raise
            self._error = ""
            return is_more_due

    def _refresh(self, now_ms: int) -> None:
        """Take in new, edited and deleted segments, and new environments."""
        with reading(self._engine) as connection:
            is_missing = bool(missing_states(connection))
        if is_missing:
            with self._engine.begin() as connection:
                add_missing_states(connection, self._clock())
        before = self._watched
        with reading(self._engine) as connection:
            self._watched = read_watched(connection, before)
        self._refreshed_ms = now_ms
        gone = [watched for place, watched in before.items() if place not in self._watched]
        if gone:
            drop_members(self._members, gone)
            self._on_change({watched.environment_id for watched in gone})

    def _evaluate(self, loaded: Loaded, now_ms: int) -> None:
        """Bring the touched users in line in every segment whose answer can have changed for them."""
        some = self._current(loaded.environment_id)
        raws = touched(loaded)
        if not some or not raws:
            return
        with reading(self._engine) as connection:
            leads = canonical(connection, loaded.environment_id, raws)
        known = {leads.get(raw, raw) for raw in raws - loaded.merged}
        named = {leads.get(raw, raw) for raw in loaded.by_property.get(IDENTITY_KEY, ())}
        absorbed = leads.keys() & loaded.merged
        wanted: list[tuple[Watched, set[int]]] = []
        for watched in some:
            asked = {leads.get(raw, raw) for raw in watched.candidates(loaded)}
            asked |= self._inside(watched, named - asked)
            if watched.relevance.holds_for_strangers:
                strangers = {leads.get(raw, raw) for raw in raws} - asked
                # Entered just by appearing.
                asked |= strangers - self._inside(watched, strangers)
            if asked:
                wanted.append((watched, asked))
        self._bring_in_line(loaded.environment_id, wanted, known, set(absorbed), now_ms)

    def _inside(self, watched: Watched, users: set[int]) -> set[int]:
        return (
            {int(user) for user in self._members.which(watched.users_set, map(str, users))}
            if users
            else set()
        )

    def _bring_in_line(
        self,
        environment_id: int,
        wanted: Sequence[tuple[Watched, set[int]]],
        known: Set[int],
        absorbed: Set[int],
        now_ms: int,
    ) -> None:
        changed = False
        for start in range(0, len(wanted), CONDITIONS_PER_QUESTION):
            group = wanted[start : start + CONDITIONS_PER_QUESTION]
            asked = set().union(*(users for _, users in group))
            if len(asked) > COUNT_INSTEAD:
                for watched, _ in group:
                    watched.is_caught_up = False
                continue
            for watched, answers in self._answers([w for w, _ in group], asked, known, now_ms):
                change = apply_answers(
                    self._members,
                    watched,
                    answers,
                    asked | absorbed,
                    lambda users: identities_of(self._store, environment_id, users),
                    now_ms,
                )
                watched.suspects -= asked | absorbed
                changed |= change.is_list_changed
                if change.users or change.is_list_changed:
                    self._measure(watched)
        if changed:
            self._on_change({environment_id})

    def _answers(
        self, group: Sequence[Watched], asked: Set[int], known: Set[int], now_ms: int
    ) -> list[tuple[Watched, dict[int, Answer]]]:
        """All in one question; when that fails, one by one, so that a single bad segment stops no other."""
        try:
            return self._ask(group, asked, known, now_ms)
        except CairnError as error:
            if len(group) == 1 and _is_outage(error):
                raise
        answered: list[tuple[Watched, dict[int, Answer]]] = []
        failed: list[tuple[Watched, CairnError]] = []
        for watched in group:
            try:
                answered += self._ask([watched], asked, known, now_ms)
            except CairnError as error:
                failed.append((watched, error))
        if not answered and all(_is_outage(reason) for _, reason in failed):
            raise failed[0][1]
        for watched, reason in failed:
            self._failed(watched, reason, now_ms)
        return answered

    def _ask(
        self, group: Sequence[Watched], asked: Set[int], known: Set[int], now_ms: int
    ) -> list[tuple[Watched, dict[int, Answer]]]:
        conditions = [watched.resolved for watched in group]
        environment_id = group[0].environment_id
        with reading(self._engine) as connection:
            answers = answers_for(self._store, connection, environment_id, conditions, asked, known, now_ms)
        return list(zip(group, answers, strict=True))

    def _sweep(self, now_ms: int) -> None:
        """Evaluate users for whom nothing but time has passed."""
        started = time.perf_counter()
        for environment_id in sorted({environment_id for environment_id, _ in self._watched}):
            some = [watched for watched in self._current(environment_id) if watched.relevance.events]
            since_ms = self._swept_since(environment_id, some, now_ms)
            if some and since_ms < now_ms:
                self._sweep_one(environment_id, some, since_ms, now_ms)
            self._swept_ms[environment_id] = now_ms
            for watched in some:
                watched.swept_ms = now_ms
        self._sweep_ms = (time.perf_counter() - started) * 1000
        self._sweep_at_ms = now_ms
        self._sweep_pause_ms = max(SWEEP_MS, int(SWEEP_SHARE * self._sweep_ms))

    def _sweep_one(self, environment_id: int, some: Sequence[Watched], since_ms: int, now_ms: int) -> None:
        try:
            raws = swept_users(self._store, environment_id, some, since_ms, now_ms)
        except CairnError as error:
            # Whom it would have found is unknown now; a later sweep would have ever more to look through.
            for watched in some:
                self._failed(watched, error, now_ms)
            return
        if raws:
            with reading(self._engine) as connection:
                leads = canonical(connection, environment_id, raws)
            users = {leads.get(raw, raw) for raw in raws}
            self._bring_in_line(environment_id, [(watched, users) for watched in some], users, set(), now_ms)

    def _swept_since(self, environment_id: int, some: Sequence[Watched], now_ms: int) -> int:
        since_ms = self._swept_ms.get(environment_id)
        if since_ms is None:
            since_ms = min((watched.swept_ms for watched in some if watched.swept_ms), default=now_ms)
            return max(since_ms, now_ms - LONGEST_SWEEP_MS)
        if now_ms < since_ms - CLOCK_STEP_MS:
            logger.warning(
                "the clock was set back; every segment of environment %s is counted anew", environment_id
            )
            for watched in some:
                watched.is_caught_up = False
        return since_ms

    def _count_due(self, now_ms: int) -> bool:
        """Count one segment in full: edited and new ones first. True: another one is due."""
        due = [
            w for w in self._watched.values() if now_ms >= w.due_ms or (not w.failures and not w.is_caught_up)
        ]
        if not due:
            return False
        self._count(min(due, key=lambda w: (w.is_current, w.is_caught_up, w.due_ms)), now_ms)
        return len(due) > 1

    def _count(self, watched: Watched, now_ms: int) -> None:
        """Count in full and switch the members to the result at once."""
        started = time.perf_counter()
        try:
            holding = count_everybody(self._store, watched.environment_id, watched.resolved, now_ms)
        except CairnError as error:
            self._failed(watched, error, now_ms)
            return
        is_proof = watched.is_current and watched.is_caught_up
        change = replace_members(self._members, watched, holding, now_ms)
        watched.count_ms = int((time.perf_counter() - started) * 1000)
        watched.suspects = set(change.users) if is_proof else set()
        watched.suspected_ms = now_ms
        if is_proof and not change.users:
            watched.drift = 0
        watched.counted_version, watched.is_caught_up, watched.counted_ms = watched.version, True, now_ms
        watched.swept_ms, watched.error, watched.failures = now_ms, "", 0
        watched.due_ms = now_ms + self._recount_ms - self._stagger_ms(watched, is_proof=is_proof)
        self._measure(watched)
        if change.is_list_changed:
            self._on_change({watched.environment_id})

    def _stagger_ms(self, watched: Watched, *, is_proof: bool) -> int:
        """Segments that were counted together at the start are recounted spread over half an interval."""
        return 0 if is_proof else self._recount_ms * (watched.segment_id * 7919 % 1000) // 2000

    def _judge_suspects(self, now_ms: int) -> None:
        """What a recount found different, and no event explained within a moment, had drifted."""
        for watched in self._watched.values():
            if watched.suspected_ms and abs(now_ms - watched.suspected_ms) >= GRACE_MS:
                watched.suspected_ms = 0
                if watched.suspects:
                    watched.drift, watched.is_saved = len(watched.suspects), False
                    logger.warning(
                        "segment %s in environment %s had drifted by %d users; it was set right",
                        watched.key, watched.environment_id, watched.drift,
                    )  # fmt: skip
                    watched.suspects = set()

    def _failed(self, watched: Watched, error: CairnError, now_ms: int) -> None:
        """Its touched users are not kept: the full count that follows makes up for them."""
        logger.warning("segment %s in environment %s: %s", watched.key, watched.environment_id, error)
        watched.error, watched.is_caught_up, watched.is_saved = str(error), False, False
        watched.due_ms = now_ms + min(FIRST_RETRY_MS * 2**watched.failures, LONGEST_RETRY_MS)
        watched.failures += 1

    def _current(self, environment_id: int) -> list[Watched]:
        return [w for w in self._watched.values() if w.environment_id == environment_id and w.is_current]

    def _measure(self, watched: Watched) -> None:
        watched.users = self._members.size(watched.users_set)
        watched.identified = self._members.size(watched.list_set)
        watched.is_saved = False

    def _save(self, now_ms: int) -> None:
        unsaved = [watched for watched in self._watched.values() if not watched.is_saved]
        if unsaved:
            with self._engine.begin() as connection:
                save_states(connection, unsaved)
            for watched in unsaved:
                watched.is_saved = True
        self._saved_ms = now_ms


def _is_outage(error: CairnError) -> bool:
    """Is the store away, rather than this question too much for it?"""
    return isinstance(error, Unavailable) and not isinstance(error, QuestionTooExpensive)

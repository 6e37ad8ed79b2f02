"""Live segments: members follow what the loader names, what time ends, and what people define.

One thread decides everything, so a full count can never race with a live evaluation. Each pass: read the definitions,
evaluate the users touched and those whose time has come, and count in full what is due. Membership and due times are
kept in the members store; while this is down they stay as they are, and at the start every segment is counted once.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager

import sqlalchemy as sa

from cairn.clock import Clock, to_ms
from cairn.db.changes import changes_counted
from cairn.db.engine import reading
from cairn.definitions.matching import Definitions
from cairn.errors import CairnError, Unavailable
from cairn.identity.merges import canonical
from cairn.ingest.loaded import Loaded
from cairn.members.due import Due
from cairn.members.sets import Members
from cairn.segments.answering import answer
from cairn.segments.definition import add_missing_states, missing_states
from cairn.segments.index import Index
from cairn.segments.leaves import Leaves
from cairn.segments.meaning import resolve_watched
from cairn.segments.membership import FullCount, apply_answers, drop_members, replace_members
from cairn.segments.pending import Pending, touched
from cairn.segments.questions import ToEvaluate, count_everybody, identities_of
from cairn.segments.recounts import Recounts, counted_together, is_recounted, retry_ms
from cairn.segments.status import LiveStatus, statuses
from cairn.segments.watched import Watched, WatchedId, read_watched, save_states
from cairn.store.schema import IDENTITY_KEY
from cairn.store.store import Store

logger = logging.getLogger(__name__)

TICK_S = 0.25  # longest sleep, so that a stop, a new segment and what time ends are noticed soon
GATHER_S = 0.005  # the loader names users batch by batch; the next one is often close behind
LONGEST_PAUSE_S = 1.0  # between passes under load; users gather meanwhile and share a question
REFRESH_MS = 500  # how soon a new or edited segment is noticed
DUE_PER_PASS = 5_000  # users and segments whose time has come; more of them wait for the next pass
SAVE_MS = 1_000  # how often sizes are written for the pages
COUNT_INSTEAD = 20_000  # touched users; more at once are a bulk load, and a full count is cheaper
MOST_KNOWN = 200_000  # users of an environment remembered as known; then all are forgotten
GRACE_MS = 2_000  # an event may be counted in full a moment before the loader names its user: no drift
CLOCK_STEP_MS = 60_000  # a clock set back by more makes every answer doubtful


class LiveSegments:
    """`on_change` is called with environments whose attribute lists changed, in the evaluating thread."""

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
        self._recounts = Recounts(int(recount_interval_s * 1000))
        self._on_change = on_change
        self._pending = Pending()
        self._working = threading.Lock()
        self._watched: dict[WatchedId, Watched] = {}
        self._leaves = Leaves()
        self._mark = -1  # the count of changes at which definitions were read last
        self._indexes: dict[int, Index] = {}  # by environment; made again when a segment changes
        self._known: defaultdict[int, set[int]] = defaultdict(set)  # by environment: users evaluated before
        self._refreshed_ms = self._saved_ms = self._passed_ms = 0
        self._evaluation_ms = self._latency_ms = 0.0
        self._lateness_ms = 0
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
                is_more_due = self.run_once(is_urgent=False)
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
        while self.run_once(is_urgent=True) or self._pending.users():
            pass

    @contextmanager
    def paused(self, environment_ids: Set[int]) -> Iterator[None]:
        """No pass runs meanwhile. What was done to the sets of these environments is measured and published after."""
        with self._working:
            try:
                yield
            finally:
                for environment_id in environment_ids:
                    self._known.pop(environment_id, None)  # one who was deleted may come again
                for watched in self._watched.values():
                    if watched.environment_id in environment_ids:
                        self._measure(watched)
        self._on_change(set(environment_ids))

    def status(self) -> LiveStatus:
        return LiveStatus(
            pending_users=self._pending.users(),
            last_evaluation_ms=self._evaluation_ms,
            last_latency_ms=self._latency_ms,
            last_lateness_ms=self._lateness_ms,
            last_error=self._error,
            segments=statuses(self._watched.values()),
        )

    def run_once(self, *, is_urgent: bool) -> bool:
        """One round. `is_urgent`: refresh and save now. True: more is due."""
        with self._working:
            now_ms = to_ms(self._clock())
            taken: list[Loaded] = []
            try:
                if is_urgent or abs(now_ms - self._refreshed_ms) >= REFRESH_MS:
                    self._refresh(now_ms)
                heard, taken = time.perf_counter(), self._pending.take()
                if resolve_watched(self._watched.values(), self._engine, self._definitions, self._leaves):
                    self._indexes.clear()
                self._check_clock(now_ms)
                for loaded in list(taken):
                    self._evaluate(loaded, now_ms)
                    taken.remove(loaded)
                    self._evaluation_ms = (time.perf_counter() - heard) * 1000
                    self._latency_ms = self._evaluation_ms + self._pending.waited_ms
                is_more_due = self._depart(now_ms)
                is_more_due |= self._count_due(now_ms, is_urgent=is_urgent)
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
            mark = changes_counted(connection)
            if mark == self._mark:
                self._refreshed_ms = now_ms
                return
            is_missing = bool(missing_states(connection))
        if is_missing:
            with self._engine.begin() as connection:
                add_missing_states(connection, self._clock())
        before = self._watched
        with reading(self._engine) as connection:
            self._mark = changes_counted(connection)
            self._watched = read_watched(connection, before, self._leaves, now_ms)
        self._refreshed_ms = now_ms
        self._indexes.clear()
        gone = [watched for watched_id, watched in before.items() if watched_id not in self._watched]
        if gone:
            drop_members(self._members, gone)
            self._on_change({watched.environment_id for watched in gone})

    def _index(self, environment_id: int) -> Index:
        index = self._indexes.get(environment_id)
        if index is None:
            live = (w for w in self._watched.values() if w.environment_id == environment_id and w.is_live)
            index = self._indexes[environment_id] = Index(live)
        return index

    def _evaluate(self, loaded: Loaded, now_ms: int) -> None:
        """Bring the touched users in line in every segment whose answer can have changed for them."""
        environment_id, raws = loaded.environment_id, touched(loaded)
        index = self._index(environment_id)
        if not index.segments or not raws:
            return
        with reading(self._engine) as connection:
            leads = canonical(connection, environment_id, raws)
        known_users = {leads.get(raw, raw) for raw in raws - loaded.merged}
        named = {leads.get(raw, raw) for raw in loaded.by_property.get(IDENTITY_KEY, ())}
        absorbed = leads.keys() & loaded.merged
        to_evaluate = {
            watched: {leads.get(raw, raw) for raw in raws}
            for watched, raws in index.concerned(loaded).items()
        }
        if named:  # members change what they are called in the list
            for watched, inside in self._inside(index.segments, named).items():
                to_evaluate.setdefault(watched, set()).update(inside)
        new = {leads.get(raw, raw) for raw in raws} - self._known[environment_id]
        if new and index.of_unknown_users:  # those not in yet enter just by appearing
            for watched, inside in self._inside(index.of_unknown_users, new).items():
                to_evaluate.setdefault(watched, set()).update(new - inside)
        work = [(watched, users) for watched, users in to_evaluate.items() if users]
        self._reconcile(environment_id, work, known_users, set(absorbed), now_ms)
        self._remember(environment_id, new)

    def _remember(self, environment_id: int, users: Set[int]) -> None:
        known_users = self._known[environment_id]
        if len(known_users) + len(users) > MOST_KNOWN:
            known_users.clear()
        known_users |= users

    def _inside(self, segments: Sequence[Watched], users: Set[int]) -> dict[Watched, set[int]]:
        values = [str(user) for user in users]
        inside = self._members.which_all({watched.users_set: values for watched in segments})
        return {watched: {int(user) for user in inside[watched.users_set]} for watched in segments}

    def _reconcile(
        self,
        environment_id: int,
        to_evaluate: ToEvaluate,
        known_users: Set[int],
        absorbed: Set[int],
        now_ms: int,
    ) -> None:
        for watched, users in to_evaluate:
            if len(users) > COUNT_INSTEAD:
                watched.is_caught_up = False
        few = [(watched, users) for watched, users in to_evaluate if len(users) <= COUNT_INSTEAD]
        verdicts, failed = answer(self._engine, self._store, few, known_users, now_ms)
        for watched, error in failed:
            self._failed(watched, error, now_ms)
        answered = [(watched, answers, users | absorbed) for watched, users, answers in verdicts]
        changes = apply_answers(
            self._members, answered, lambda users: identities_of(self._store, environment_id, users), now_ms
        )
        for watched, _, users in answered:
            watched.suspects -= users
        is_list_changed = False
        for watched, change in changes:
            is_list_changed |= change.is_list_changed
            if change.users or change.is_list_changed:
                self._measure(watched)
        if is_list_changed:
            self._on_change({environment_id})

    def _check_clock(self, now_ms: int) -> None:
        """A clock set back makes what was decided since doubtful: every segment is counted again."""
        if now_ms < self._passed_ms - CLOCK_STEP_MS:
            logger.warning("the clock was set back; every segment is counted again")
            for watched in self._watched.values():
                watched.is_caught_up = False
        self._passed_ms = now_ms

    def _depart(self, now_ms: int) -> bool:
        """Evaluate those for whom nothing but time has passed: just them, in just the segments they are due in.

        True: more are due.
        """
        rows = self._members.due.first(now_ms, DUE_PER_PASS)
        by_environment: defaultdict[int, dict[Watched, set[int]]] = defaultdict(dict)
        lost: list[Due] = []  # of a segment that is gone, or waits for its full count
        for row in rows:
            watched = self._watched.get((row.environment_id, row.segment_id))
            if watched is None or not watched.is_live:
                lost.append(row)
            else:
                by_environment[row.environment_id].setdefault(watched, set()).add(row.user_id)
        self._members.due.drop_rows(lost)
        for environment_id, due_users in by_environment.items():
            self._depart_from(environment_id, due_users, now_ms)
        if rows:
            self._lateness_ms = to_ms(self._clock()) - rows[0].due_ms
        return len(rows) == DUE_PER_PASS

    def _depart_from(self, environment_id: int, due_users: dict[Watched, set[int]], now_ms: int) -> None:
        users = set().union(*due_users.values())
        with reading(self._engine) as connection:
            leads = canonical(connection, environment_id, users)
        work = [(watched, {leads.get(user, user) for user in due}) for watched, due in due_users.items()]
        self._reconcile(environment_id, work, set(), set(leads), now_ms)
        failed = [watched for watched in due_users if not watched.is_live]
        for watched in failed:
            self._members.due.drop(environment_id, watched.segment_id)

    def _count_due(self, now_ms: int, *, is_urgent: bool) -> bool:
        """Count some segments in full: edited and new ones first. True: others are due."""
        due = self._recounts.due(self._watched.values(), now_ms, is_urgent=is_urgent)
        if not due:
            return False
        chosen = counted_together(due)
        is_recount = all(is_recounted(watched) for watched in chosen)
        started = time.perf_counter()
        self._count(chosen, now_ms)
        if is_recount:
            self._recounts.took(int((time.perf_counter() - started) * 1000), now_ms)
        return len(due) > len(chosen)

    def _count(self, segments: Sequence[Watched], now_ms: int) -> None:
        """Count in full; when that fails together, each alone."""
        started = time.perf_counter()
        conditions = [watched.ready for watched in segments]
        try:
            counts = count_everybody(self._store, segments[0].environment_id, conditions, now_ms)
        except CairnError as error:
            if len(segments) == 1:
                self._failed(segments[0], error, now_ms)
            else:
                for watched in segments:
                    self._count([watched], now_ms)
            return
        count_ms = int((time.perf_counter() - started) * 1000) // len(segments)
        for watched, counted in zip(segments, counts, strict=True):
            watched.count_ms = count_ms
            self._switch(watched, counted, now_ms)

    def _switch(self, watched: Watched, counted: FullCount, now_ms: int) -> None:
        """Make the members those that were counted, at once."""
        is_proof = is_recounted(watched)
        was_live = watched.is_live
        change = replace_members(self._members, watched, counted, now_ms)
        watched.suspects = set(change.users) if is_proof else set()
        watched.suspected_ms = now_ms
        if is_proof and not change.users:
            watched.drift = 0
        watched.counted_version, watched.is_caught_up, watched.counted_ms = watched.version, True, now_ms
        watched.error, watched.failed_ms, watched.failures = "", 0, 0
        watched.due_ms = self._recounts.next_ms(watched, now_ms, is_proof=is_proof)
        if not was_live:
            self._indexes.pop(watched.environment_id, None)
        self._measure(watched)
        if change.is_list_changed:
            self._on_change({watched.environment_id})

    def _judge_suspects(self, now_ms: int) -> None:
        """What a recount found different, and no event explained within a moment, had drifted."""
        for watched in self._watched.values():
            if watched.suspected_ms and abs(now_ms - watched.suspected_ms) >= GRACE_MS:
                watched.suspected_ms = 0
                if watched.suspects:
                    watched.drift, watched.is_saved = len(watched.suspects), False
                    logger.warning(
                        "segment %s in environment %s had drifted by %d users; it was set right",
                        watched.key,
                        watched.environment_id,
                        watched.drift,
                    )
                    watched.suspects = set()

    def _failed(self, watched: Watched, error: CairnError, now_ms: int) -> None:
        logger.warning("segment %s in environment %s: %s", watched.key, watched.environment_id, error)
        watched.fail(str(error), now_ms, retry_ms=retry_ms(watched))
        self._indexes.pop(watched.environment_id, None)
        self._saved_ms = 0  # Home says so at once

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

"""One environment with everything real (store, metadata, members) and a clock to turn; it loads as the loader does."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from cairn.clock import from_ms, to_ms
from cairn.conditions.tree import Condition
from cairn.db.engine import reading
from cairn.event import Draft, Kind, Scalar
from cairn.identity.merges import Merge, merge, unmerge
from cairn.ids import identified_user_id
from cairn.ingest.loaded import Loaded
from cairn.members.sets import list_set, users_set
from cairn.segments.definition import (
    NewSegment,
    Segment,
    SegmentState,
    create_segment,
    states,
    update_segment,
)
from cairn.store.arrow_tables import text_of
from cairn.store.store import PropertyChange, Store
from tests import world
from tests.segments.histories import NOW_MS
from tests.segments.oracle import History, members
from tests.world import add_environment, add_project


class World(world.World):
    """One environment; its id keeps it apart from others in the same event store."""

    def __init__(
        self, folder: Path, store: Store, environment_id: int, *, recount_interval_s: float = 10**6
    ) -> None:
        self.now_ms = NOW_MS
        super().__init__(
            folder, store=store, clock=lambda: from_ms(self.now_ms), recount_interval_s=recount_interval_s
        )
        self.history = History()
        self._number = environment_id << 24
        now = self.clock()
        with self.engine.begin() as connection:
            self.workspace_id, self.project_id = add_project(connection, account_id=environment_id, now=now)
            self.environment_id = add_environment(
                connection,
                self.workspace_id,
                self.project_id,
                "production",
                now=now,
                environment_id=environment_id,
            )

    def define(self, key: str, condition: Condition) -> Segment:
        new = NewSegment(key, key, condition)
        with self.engine.begin() as connection:
            return create_segment(connection, self.workspace_id, self.project_id, new, self.clock())

    def edit(self, segment: Segment, condition: Condition) -> Segment:
        with self.engine.begin() as connection:
            return update_segment(
                connection, self.workspace_id, segment.id, condition=condition, now=self.clock()
            )

    def did(
        self,
        user_id: int,
        name: str,
        *,
        kind: str = Kind.CUSTOM,
        ago_ms: int = 0,
        properties: Mapping[str, Scalar] | None = None,
    ) -> Loaded:
        """Store an event; return what the loader would say."""
        draft = Draft(
            self.environment_id,
            kind,
            name,
            self.now_ms - ago_ms,
            self.now_ms,
            user_id=user_id,
            event_id=self.next_id(),
            properties=dict(properties or {}),
        )
        self.store.insert_events([draft])
        self.history.events.append(draft)
        return Loaded(self.environment_id, by_event={(kind, name): {user_id}})

    def set_property(self, user_id: int, key: str, value: Scalar) -> Loaded:
        change = PropertyChange(
            self.environment_id,
            user_id,
            key,
            text_of(value),
            self.now_ms,
            (self.now_ms << 22) + self.next_id() % 2**22,
        )
        self.store.insert_properties([change])
        self.history.properties.append(change)
        return Loaded(self.environment_id, by_property={key: {user_id}})

    def identify(self, user_id: int, identity: str) -> Loaded:
        """As the loader: the identity is a property of its canonical user, and the id is merged into that."""
        target = identified_user_id(self.environment_id, identity)
        with self.engine.begin() as connection:
            done = merge(connection, self.environment_id, user_id, identity, "test", self.clock())
        if not isinstance(done, Merge):
            return Loaded(self.environment_id)
        loaded = self.set_property(target, "identity", identity)
        if done.is_new:
            self.store.insert_user_map([done.change])
            self.history.merged[user_id] = target
            loaded.merged |= {user_id, target}
        return loaded

    def unmerge(self, user_id: int) -> Loaded:
        with self.engine.begin() as connection:
            change = unmerge(connection, self.environment_id, user_id, "test", self.clock())
        if change is None:
            return Loaded(self.environment_id)
        self.store.insert_user_map([change])
        target = self.history.merged.pop(user_id)
        return Loaded(self.environment_id, merged={user_id, target})

    def settle(self, *loaded: Loaded) -> None:
        self.live.touched(list(loaded))
        self.live.settle()

    def state(self, segment: Segment) -> SegmentState:
        with reading(self.engine) as connection:
            return states(connection, self.workspace_id, segment.id)[0]

    def users(self, segment: Segment) -> set[int]:
        return {int(user) for user, _ in self.members.values(users_set(self.environment_id, segment.id))}

    def listed(self, segment: Segment) -> set[str]:
        return {value for value, _ in self.members.values(list_set(self.state(segment).list_id))}

    def check(self, segments: Iterable[Segment]) -> None:
        """The quiet moment: members, list and shown sizes are exactly what plain Python says."""
        for segment in segments:
            expected = members(self.history, segment.condition, self.now_ms)
            assert self.users(segment) == set(expected), segment.condition
            assert self.listed(segment) == set(expected.values()) - {""}, segment.condition
            state = self.state(segment)
            assert (state.users, state.identified) == (len(self.users(segment)), len(self.listed(segment)))
            assert (state.version, state.error, state.drift) == (segment.version, "", 0)

    def moment_of(self, moment: datetime | None) -> int:
        return to_ms(moment) if moment else 0

    def next_id(self) -> int:
        self._number += 1
        return self._number

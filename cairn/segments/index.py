"""Which segments a change concerns, found by what their conditions mention instead of by asking each."""

from collections import defaultdict
from collections.abc import Iterable

from cairn.ingest.loaded import Loaded
from cairn.query.behaviour import NOT_BEHAVIOUR
from cairn.segments.watched import Watched


class Index:
    """The live segments of one environment. Made again when one of them changes."""

    def __init__(self, watched_segments: Iterable[Watched]) -> None:
        self.segments = list(watched_segments)
        self.of_unknown_users = [
            watched for watched in self.segments if watched.ready.holds_for_unknown_users
        ]
        # By kind and name as the condition says them: an empty one stands for any.
        self._by_event: defaultdict[tuple[str, str], dict[Watched, None]] = defaultdict(dict)
        self._by_key: defaultdict[str, list[Watched]] = defaultdict(list)
        for watched in self.segments:
            for counter in watched.ready.counters:
                for way in counter.source.alternatives:
                    self._by_event[way.kind, way.name][watched] = None
            for key in watched.ready.keys:
                self._by_key[key].append(watched)

    def concerned(self, loaded: Loaded) -> dict[Watched, set[int]]:
        """Raw users whose answer can have changed, by the segments that mention what they did or became.

        One who got a name is none of them: that changes what a member is called, not who is one.
        """
        users_by_segment: defaultdict[Watched, set[int]] = defaultdict(set)
        for (kind, name), users in loaded.by_event.items():
            for watched in self._mentioning(kind, name):
                users_by_segment[watched] |= users
        for key, users in loaded.by_property.items():
            for watched in self._by_key.get(key, ()):
                users_by_segment[watched] |= users
        if loaded.merged:
            for watched in self.segments:
                users_by_segment[watched] |= loaded.merged
        return users_by_segment

    def _mentioning(self, kind: str, name: str) -> dict[Watched, None]:
        kinds = (kind,) if kind in NOT_BEHAVIOUR else (kind, "")
        concerned: dict[Watched, None] = {}
        for kind_ in kinds:
            for name_ in dict.fromkeys((name, "")):
                concerned |= self._by_event.get((kind_, name_), {})
        return concerned

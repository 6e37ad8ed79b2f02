"""What the loader need not look up again: what it has stored of users and elements, merges it has settled."""

from collections.abc import Mapping
from typing import Generic, TypeVar

from cairn.ingest.names import Limits

_CAPACITY = 200_000  # of each kind; some 40 MB at most

Value = TypeVar("Value", str, int)
EnvironmentKey = tuple[int, int]  # environment, and the id of a user or element in it


class Recent(Generic[Value]):
    """A mapping that forgets what was not asked for lately. Not thread-safe: the loader has one thread."""

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._half = max(1, capacity // 2)
        self._young: dict[EnvironmentKey, Value] = {}
        self._old: dict[EnvironmentKey, Value] = {}

    def get(self, key: EnvironmentKey) -> Value | None:
        if (value := self._young.get(key)) is not None:
            return value
        if (value := self._old.get(key)) is not None:
            self.put(key, value)
        return value

    def put(self, key: EnvironmentKey, value: Value) -> None:
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def put_all(self, values: Mapping[EnvironmentKey, Value]) -> None:
        if len(self._young) + len(values) > self._half:
            for key, value in values.items():
                self.put(key, value)
        else:
            self._young.update(values)

    def clear(self) -> None:
        self._young, self._old = {}, {}


class Remembered:
    """Only what is in the event store already is remembered, so forgetting is always safe."""

    def __init__(self) -> None:
        self.identities = Recent[str]()  # of canonical users
        self.merges = Recent[str]()  # the identity each raw user was merged on
        self.elements = Recent[int]()  # by their number
        self.named = Recent[int]()  # users whose row among the visitors is stored
        self.first_seen = Recent[int]()  # versions of what is stored of a user's first session
        self.limits = Limits()
        self.newest_ms = -1  # the latest receipt of all events so far; -1: the store is to be asked
        self._history_end = -1

    def check_history(self, end: int) -> None:
        """Forget all merges when somebody else appended to the history: it may have been an un-merge."""
        if end != self._history_end:
            self.merges.clear()
            self._history_end = end

    def appended(self, end: int) -> None:
        """The loader itself appended to the history, up to here."""
        self._history_end = max(self._history_end, end)

"""What the loader need not look up again: identities it has stored and merges it has settled."""

_CAPACITY = 200_000  # users of each kind; some 40 MB at most

User = tuple[int, int]  # environment, user id


class Recent:
    """A mapping that forgets what was not asked for lately. Not thread-safe: the loader has one thread."""

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._half = max(1, capacity // 2)
        self._young: dict[User, str] = {}
        self._old: dict[User, str] = {}

    def get(self, user: User) -> str | None:
        if (value := self._young.get(user)) is not None:
            return value
        if (value := self._old.get(user)) is not None:
            self.put(user, value)
        return value

    def put(self, user: User, value: str) -> None:
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[user] = value

    def clear(self) -> None:
        self._young, self._old = {}, {}


class Remembered:
    """Only what is in the event store already is remembered, so forgetting is always safe."""

    def __init__(self) -> None:
        self.identities = Recent()  # of canonical users
        self.merges = Recent()  # the identity each raw user was merged on
        self._history_end = -1

    def check_history(self, end: int) -> None:
        """Forget all merges when somebody else appended to the history: it may have been an un-merge."""
        if end != self._history_end:
            self.merges.clear()
            self._history_end = end

    def appended(self, end: int) -> None:
        """The loader itself appended to the history, up to here."""
        self._history_end = max(self._history_end, end)

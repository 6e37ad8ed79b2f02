"""The environments in which every identity has a row among the flag visitors: those that had flag events."""

from cairn.store.store import Store


class Followed:
    """Not thread-safe: the loader has one thread."""

    def __init__(self) -> None:
        self.environments: set[int] = set()
        self._waiting: set[int] | None = (
            None  # those that had to be followed at the start; None: not asked yet
        )

    def missing(self, flagged: set[int], store: Store) -> list[int]:
        """Those to be followed from now on: with flag events, or with visitors that wait for their user."""
        if self._waiting is None:
            self._waiting = store.waiting_environments()
        return sorted((flagged | self._waiting) - self.environments)

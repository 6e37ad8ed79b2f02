"""Set membership with fast reads, and the documents the edge serves.

A set is a segment's users (`users_set`) or an attribute list's values (`list_set`). Documents are what the core
publishes for the edge: settings files, key tables. The edge reads both with everything else down.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from msgspec import Struct

from cairn.members.due import DueTimes


def users_set(environment_id: int, segment_id: int) -> str:
    """Name of the set of a segment's canonical user ids (decimal text)."""
    return f"segment/{environment_id}/{segment_id}"


def list_set(list_id: str) -> str:
    """Name of the set of an attribute list's values: for a segment's list, the identities of its identified users."""
    return f"list/{list_id}"


UPLOADS = "upload/"  # what the names of sets of uploads begin with


def upload_prefix(environment_id: int) -> str:
    """What the names of an environment's sets of uploads begin with."""
    return f"{UPLOADS}{environment_id}/"


def upload_set(environment_id: int, part: str) -> str:
    """Name of the set of values that are being uploaded, or are to go, until all of them are read."""
    return f"{upload_prefix(environment_id)}{part}"


def folded(value: str) -> str:
    """How a list without regard to capitals keeps a value, and is asked about one."""
    return value.casefold()


def alias_set(environment_id: int, alias_id: str) -> str:
    """Name of the set of the one user id that an alias stands for."""
    return f"alias/{environment_id}/{alias_id}"


INCOMING = "incoming/"  # what the names of incoming sets begin with


def incoming_set(task: int, part: str) -> str:
    """Name of the set of the values that a webhook's task has brought so far: to `add`, or to `remove`."""
    return f"{INCOMING}{task}/{part}"


class SetChange(Struct, frozen=True):
    """Values to take into a set, with their since, and values to take out. One in both stays, or comes, in."""

    add: Mapping[str, int]
    remove: Iterable[str]


class Changed(Struct, frozen=True):
    """How a followed set changed since a version."""

    values: (
        frozenset[str] | None
    )  # whose membership may have changed; None: not known any more, compare the sets
    version: int  # up to which these are all


class Members(Protocol):
    """Sets of text, each value with the epoch milliseconds since when it is in.

    - `apply`, `apply_all` and `replace` are atomic and durable: a reader in any process sees the set before or after,
      never between.
    - Adding a value that is in keeps its first `since`; removing one that is not in does nothing.
    - `replace` keeps `since` of values that stay.
    - `contains` needs no lock and answers in microseconds.
    - Values of any length and any Unicode text are kept apart exactly (no folding, no truncation).
    - `version` rises with every change of the set's values, and only then; `adopt` always.
    """

    def contains(self, name: str, value: str) -> bool: ...

    def since(self, name: str, value: str) -> int | None:
        """When the value came in, epoch milliseconds; None when it is not in."""

    def which(self, name: str, values: Iterable[str]) -> set[str]:
        """Those of `values` that are in."""

    def which_all(self, values_by_set: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
        """The same of several sets, at one moment. Shape: set -> those of its values that are in."""

    def size(self, name: str) -> int: ...

    def version(self, name: str) -> int: ...

    def values(self, name: str, *, after: str = "", limit: int | None = None) -> list[tuple[str, int]]:
        """Values with their since, in a stable order, starting after a value."""

    def texts(self, name: str, *, after: str = "", limit: int | None = None) -> list[str]:
        """The values alone, as `values`, which takes longer."""

    def apply(self, name: str, *, add: Mapping[str, int], remove: Iterable[str]) -> tuple[int, int]:
        """Return how many were really added and removed."""

    def apply_all(self, changes: Mapping[str, SetChange]) -> dict[str, tuple[int, int]]:
        """Change several sets at once: all of them, or none. Shape: set -> as `apply`."""

    def replace(self, name: str, values: Mapping[str, int]) -> tuple[int, int]:
        """Make the set exactly these values; return how many were really added and removed."""

    def drop(self, name: str) -> None: ...

    def forget(self, name: str) -> None:
        """As `drop`, and nothing stays of it, its version neither: for sets whose names never come again."""

    def follow(self, name: str) -> int:
        """Keep a feed of the set's changes from now on; return its version. Following twice changes nothing."""

    def unfollow(self, name: str) -> None: ...

    def followed(self) -> list[str]:
        """The sets that have a feed. Limit: as of `sets`."""

    def forget_changes(self, name: str) -> None:
        """Of a followed set: what its feed holds until now is gone, as for somebody who must not be named any more."""

    def changed_since(self, name: str, version: int, *, most: int) -> Changed:
        """Of a followed set; about `most` values, so ask again from the returned version while it is not the set's."""

    def fill_difference(self, target: str, name: str, other: str) -> int:
        """Make `target` what `name` has and `other` lacks; return its size. Costs no memory, however large they are."""

    def adopt(self, name: str, source: str) -> int:
        """Give the set, at once, what `source` holds, which is empty then; return the size."""

    def replace_by(self, name: str, source: str) -> tuple[int, int]:
        """As `adopt`, and values that stay keep their since; return how many were really added and removed."""

    def combine(self, name: str, *, add: str, remove: str) -> tuple[int, int]:
        """Take the values of `add` in and those of `remove` out; one in both comes, or stays, in.

        Return how many were really added and removed. Costs no memory, however large the sets are.
        """

    def sets(self, prefix: str) -> list[str]:
        """The names of the sets that begin so, in order. Limit: those over 480 bytes long are left out."""

    @property
    def due(self) -> DueTimes: ...

    def close(self) -> None: ...


class Published(Protocol):
    """Named documents, published by the core and read by the edge.

    - `publish` is atomic and durable; publishing the same bytes again changes nothing.
    - `changes` rises with every real change, so a reader polls one number.
    """

    def publish(self, documents: Mapping[str, bytes | None]) -> None:
        """Publish several at once; None withdraws a name."""

    def document(self, name: str) -> bytes | None: ...

    def names(self, prefix: str) -> Iterator[str]: ...

    def changes(self) -> int: ...


class MembersAndDocuments(Members, Published, Protocol):
    """Both, kept in one place: what the core writes and the edge reads."""

"""How many different names an environment, user or account has: counted in memory, looked up where many are new."""

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from cairn.query import names
from cairn.store.store import Store

MOST_USER_PROPERTIES = 500  # different ones of one raw user, or of one account
MOST_NAMES = 10_000  # different event names of an environment; likewise of property names
MOST_ELEMENTS = 500_000  # different shapes of elements of an environment
# So many names seen since the start need no look into the store; few environments ever have more. Limit: every start
# lets so many in beside those that are stored.
_UNASKED_NAMES = 1_000
# Bits of a user's keys, each key one of 256: 100 of them are some 127 different keys.
_BITS, _UNASKED_BITS = 256, 100
_MOST_COUNTED = 2_000  # users whose keys are held one by one
_MOST_NOTED = 20_000  # events with different names
_MOST_REMEMBERED = 200_000  # users, some 20 MB

Owner = TypeVar("Owner")

ReadNames = Callable[[Store, int, int], list[str]]  # of an environment, so many at most
ReadKeys = Callable[[Store, int, Owner, int], list[str]]


class Names:
    """The different names of one kind, by environment. Not thread-safe: the loader has one thread."""

    def __init__(self, read: ReadNames, most: int = MOST_NAMES) -> None:
        self._read, self._most = read, most
        self._known: dict[int, set[str]] = {}
        self._are_all: set[int] = set()  # environments whose stored names were read

    def left_out(self, store: Store, environment_id: int, new: Mapping[str, object]) -> list[str]:
        """Those of the names that are new and too many. The others are known from now on."""
        names = self._known.setdefault(environment_id, set())
        if new.keys() <= names:
            return []
        if environment_id not in self._are_all:
            if len(names) + len(new) <= _UNASKED_NAMES:
                names.update(new)
                return []
            names.update(self._read(store, environment_id, self._most))
            self._are_all.add(environment_id)
        return _admit(names, new, self._most)


class Keys(Generic[Owner]):
    """The different property keys of each user (or account), looked up only for those that have many."""

    def __init__(self, read: ReadKeys[Owner]) -> None:
        self._read = read
        self._bits: dict[tuple[int, Owner], int] = {}
        self._known: dict[tuple[int, Owner], set[str]] = {}

    def left_out(
        self, store: Store, environment_id: int, owner: Owner, keys: Mapping[str, object]
    ) -> list[str]:
        owner_key = environment_id, owner
        names = self._known.get(owner_key)
        if names is None:
            if self._are_few(owner_key, keys):
                return []
            if len(self._known) >= _MOST_COUNTED:
                self._known.clear()
            names = self._known[owner_key] = set(
                self._read(store, environment_id, owner, MOST_USER_PROPERTIES)
            )
        return _admit(names, keys, MOST_USER_PROPERTIES)

    def _are_few(self, owner_key: tuple[int, Owner], keys: Mapping[str, object]) -> bool:
        bits = self._bits.get(owner_key, 0)
        for key in keys:
            bits |= 1 << hash(key) % _BITS
        if len(self._bits) >= _MOST_REMEMBERED:
            self._bits.clear()
        self._bits[owner_key] = bits
        return bits.bit_count() <= _UNASKED_BITS


class Limits:
    """What has been counted so far. Only a bound: forgetting it lets a few more in."""

    def __init__(self) -> None:
        self.event_names = Names(names.event_names)
        self.event_properties = Names(names.event_properties)
        self.user_properties = Names(names.user_properties)
        self.account_properties = Names(names.account_properties)
        self.of_users = Keys[int](names.properties_of_user)
        self.of_accounts = Keys[str](names.properties_of_account)
        self.elements: dict[int, int] = {}  # how many shapes each environment has
        # Of events all of whose names are counted, as hashes: what is remembered grows with no sender's names.
        self.counted: set[int] = set()

    def note(self, names: int) -> None:
        """`names`: the hash of an event's environment, kind and names."""
        if len(self.counted) >= _MOST_NOTED:
            self.counted.clear()
        self.counted.add(names)


def _admit(names: set[str], new: Iterable[str], most: int) -> list[str]:
    over = []
    for name in new:
        if name not in names:
            if len(names) < most:
                names.add(name)
            else:
                over.append(name)
    return over

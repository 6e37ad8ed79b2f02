"""How many different names an environment, user or account has: counted in memory, looked up where many are new."""

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from cairn.event import Kind
from cairn.store.schema import DATABASE, IDENTITY_KEY, INITIAL
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
_MOST_NOTED, _MOST_NOTED_NAMES = 20_000, 50  # events with different names, and how many names of one
_MOST_REMEMBERED = 200_000  # users, some 20 MB

Owner = TypeVar("Owner")
# What Cairn itself sets of a user, as SQL.
_OWN_KEYS = ", ".join(f"'{key}'" for key in (IDENTITY_KEY, *INITIAL))


class Names:
    """The different names of one kind, by environment. Not thread-safe: the loader has one thread."""

    def __init__(self, sql: str, most: int = MOST_NAMES) -> None:
        self._sql, self._most = sql, most
        self._known: dict[int, set[str]] = {}
        self._are_all: set[int] = set()  # environments whose stored names were read

    def left_out(self, store: Store, environment_id: int, names: Mapping[str, object]) -> list[str]:
        """Those of the names that are new and too many. The others are known from now on."""
        known = self._known.setdefault(environment_id, set())
        if names.keys() <= known:
            return []
        if environment_id not in self._are_all:
            if len(known) + len(names) <= _UNASKED_NAMES:
                known.update(names)
                return []
            rows = store.query(environment_id, self._sql, {"most": self._most})
            known.update(str(name) for (name,) in rows)
            self._are_all.add(environment_id)
        return _admit(known, names, self._most)


class Keys(Generic[Owner]):
    """The different property keys of each user (or account), looked up only for those that have many."""

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._bits: dict[tuple[int, Owner], int] = {}
        self._known: dict[tuple[int, Owner], set[str]] = {}

    def left_out(
        self, store: Store, environment_id: int, owner: Owner, keys: Mapping[str, object]
    ) -> list[str]:
        place = environment_id, owner
        known = self._known.get(place)
        if known is None:
            if self._are_few(place, keys):
                return []
            rows = store.query(environment_id, self._sql, {"owner": owner, "most": MOST_USER_PROPERTIES})
            if len(self._known) >= _MOST_COUNTED:
                self._known.clear()
            known = self._known[place] = {str(key) for (key,) in rows}
        return _admit(known, keys, MOST_USER_PROPERTIES)

    def _are_few(self, place: tuple[int, Owner], keys: Mapping[str, object]) -> bool:
        bits = self._bits.get(place, 0)
        for key in keys:
            bits |= 1 << hash(key) % _BITS
        if len(self._bits) >= _MOST_REMEMBERED:
            self._bits.clear()
        self._bits[place] = bits
        return bits.bit_count() <= _UNASKED_BITS


class Limits:
    """What has been counted so far. Only a bound: forgetting it lets a few more in."""

    def __init__(self) -> None:
        self.event_names = Names(
            f"SELECT DISTINCT toString(name) FROM {DATABASE}.events "
            f"WHERE environment_id = {{environment:UInt32}} AND kind = '{Kind.CUSTOM}' LIMIT {{most:UInt32}}"
        )
        self.event_properties = Names(
            f"SELECT DISTINCT toString(arrayJoin(mapKeys(properties))) FROM {DATABASE}.events "
            "WHERE environment_id = {environment:UInt32} LIMIT {most:UInt32}"
        )
        self.user_properties = Names(
            f"SELECT DISTINCT toString(key) FROM {DATABASE}.user_properties "
            "WHERE environment_id = {environment:UInt32} LIMIT {most:UInt32}"
        )
        self.account_properties = Names(
            f"SELECT DISTINCT toString(key) FROM {DATABASE}.account_properties "
            "WHERE environment_id = {environment:UInt32} LIMIT {most:UInt32}"
        )
        self.of_users = Keys[int](
            f"SELECT DISTINCT toString(key) FROM {DATABASE}.user_properties "
            "WHERE environment_id = {environment:UInt32} AND user_id = {owner:UInt64} "
            f"AND key NOT IN ({_OWN_KEYS}) LIMIT {{most:UInt32}}"
        )
        self.of_accounts = Keys[str](
            f"SELECT DISTINCT toString(key) FROM {DATABASE}.account_properties "
            "WHERE environment_id = {environment:UInt32} AND account_id = {owner:String} LIMIT {most:UInt32}"
        )
        self.elements: dict[int, int] = {}  # how many shapes each environment has
        self.counted: set[tuple[object, ...]] = (
            set()
        )  # events all of whose names are: environment, kind, names

    def note(self, names: tuple[object, ...]) -> None:
        if len(names) <= _MOST_NOTED_NAMES:
            if len(self.counted) >= _MOST_NOTED:
                self.counted.clear()
            self.counted.add(names)


def _admit(known: set[str], names: Iterable[str], most: int) -> list[str]:
    over = []
    for name in names:
        if name not in known:
            if len(known) < most:
                known.add(name)
            else:
                over.append(name)
    return over

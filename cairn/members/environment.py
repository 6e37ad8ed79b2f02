"""One LMDB environment: opened once a process, grown when it is full, its errors translated."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from cairn.errors import Unavailable
from cairn.members.gate import Gate

# Address space, not memory or disk: the file is as long as what it holds.
MAP_BYTES = 64 * 2**30
_READERS = 1024  # slots for reading threads of all processes
_TABLES = ("sets", "values", "documents", "meta", "building", "garbage", "due", "due_of", "feeds", "feed")

_Result = TypeVar("_Result")
Transaction = Any  # lmdb has no type information
Tables = dict[str, Any]  # by name, open handles


class MembersUnavailable(Unavailable):
    """The members store cannot be used for the moment: its disk is full, away, or not ours to write."""

    code = "members_unavailable"

    def __init__(self, path: Path, error: Exception) -> None:
        super().__init__(
            f"members store {path.name} cannot be used: {error}; free or repair its disk", field="data_dir"
        )


class Environment:
    """An open environment with its tables. Made by `acquire`, given back by `release`."""

    def __init__(self, path: Path, map_bytes: int) -> None:
        self.path = path
        self.users = 0
        self._gate = Gate()
        self._map_bytes = map_bytes
        path.mkdir(parents=True, exist_ok=True)
        self._lmdb = _open(path, map_bytes)
        self.tables: Tables = {name: self._lmdb.open_db(name.encode()) for name in _TABLES}
        self.clear_dead_readers()

    def read(self, work: Callable[[Transaction], _Result]) -> _Result:
        """Do the work on one snapshot; no lock is held against writers."""
        while True:
            self._gate.enter()
            try:
                with self._lmdb.begin() as transaction:
                    return work(transaction)
            except lmdb.MapResizedError:
                pass  # another process grew it
            except lmdb.Error as error:
                raise MembersUnavailable(self.path, error) from error
            finally:
                self._gate.leave()
            self._adopt_size()

    def write(self, work: Callable[[Transaction], _Result]) -> _Result:
        """Do the work in one synced transaction: all of it, or none when anything raises."""
        while True:
            self._gate.enter()
            try:
                with self._lmdb.begin(write=True) as transaction:
                    return work(transaction)
            except lmdb.MapFullError:
                full = True
            except lmdb.MapResizedError:
                full = False
            except lmdb.Error as error:
                raise MembersUnavailable(self.path, error) from error
            finally:
                self._gate.leave()
            if full:
                self._grow()
            else:
                self._adopt_size()

    def clear_dead_readers(self) -> None:
        """A killed process's slot would keep old pages from being used again."""
        self._lmdb.reader_check()

    def close(self) -> None:
        with self._gate.alone():
            self._lmdb.close()

    def _grow(self) -> None:
        with self._gate.alone():
            try:
                self._lmdb.set_mapsize(self._lmdb.info()["map_size"] * 2)
            except lmdb.Error as error:
                raise MembersUnavailable(self.path, error) from error

    def _adopt_size(self) -> None:
        with self._gate.alone():
            self._lmdb.set_mapsize(0)


def _open(path: Path, map_bytes: int) -> Any:  # Any: lmdb has no type information
    while True:
        try:
            return lmdb.open(
                str(path), map_size=map_bytes, max_dbs=len(_TABLES), max_readers=_READERS, max_spare_txns=8
            )
        except lmdb.MemoryError as error:
            # A container may forbid so much address space; it can still grow later.
            if map_bytes <= 2**28:
                raise MembersUnavailable(path, error) from error
            map_bytes //= 2
        except lmdb.Error as error:
            raise MembersUnavailable(path, error) from error


# LMDB locks a file per process, so a process must open each environment only once, for all its callers. This is the one
# registry in Cairn; its lock is in the same place.
_open_environments: dict[tuple[int, str], Environment] = {}
_registry_lock = threading.Lock()


def acquire(path: Path, map_bytes: int) -> Environment:
    key = (os.getpid(), os.path.realpath(path))
    with _registry_lock:
        environment = _open_environments.get(key)
        if environment is None:
            environment = _open_environments[key] = Environment(path, map_bytes)
        environment.users += 1
        return environment


def release(environment: Environment) -> None:
    with _registry_lock:
        environment.users -= 1
        if environment.users:
            return
        for key, held in list(_open_environments.items()):
            if held is environment:
                del _open_environments[key]
        environment.close()

"""A demo whose history is loaded, made once a run of the tests and copied for each server: making it is slow."""

import fcntl
import os
import shutil
from pathlib import Path

import msgspec

from cairn.eventlog.readers import LOADER
from cairn.paths import Paths
from tests.databases import IS_POSTGRESQL
from tests.patience import eventually
from tests.seams import open_log
from tests.served import Served


class Demos:
    """Of all processes of a run, which share a folder."""

    def __init__(self, shared: Path) -> None:
        self._lock, self._made, self._said = shared / "demo.lock", shared / "demo", shared / "demo.json"

    def served(self, data_dir: Path, *options: str) -> Served:
        """With a data directory of its own, not started."""
        served = Served(data_dir, options=options)
        if IS_POSTGRESQL:  # a database is no part of the folder
            return served.make_demo()
        with self._lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self._said.exists():
                self._make()
        passing = shutil.ignore_patterns("*.sock", "*.lock")
        shutil.copytree(self._made, data_dir, symlinks=True, ignore=passing)
        served.demo = msgspec.json.decode(self._said.read_bytes())
        return served

    def _make(self) -> None:
        served = Served(self._made).make_demo().start()
        log = open_log(Paths(self._made).log)
        eventually(lambda: log.committed(LOADER) >= log.end(), "the loaded history")
        log.close()
        assert served.stop() == 0
        made = self._said.with_suffix(".new")
        made.write_bytes(msgspec.json.encode(served.demo))
        os.replace(made, self._said)

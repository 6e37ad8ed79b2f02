"""A served Cairn for tests and benchmarks: the real command, real processes, a data directory of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.databases import environment_of
from tests.patience import PATIENCE_S

CAIRN = Path(sys.executable).with_name("cairn")
READY_TIMEOUT_S = 60.0


class Served:
    def __init__(
        self,
        data_dir: Path,
        *,
        options: tuple[str, ...] = (),
        command: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`command`: what serves instead of `cairn serve`, on a free port. `environment`: instead of the database's."""
        self.data_dir = data_dir
        self._options = options
        self._command = command
        self._environment = environment
        self.demo: dict[str, Any] = {}
        self.ready: dict[str, Any] = {}
        self._process: subprocess.Popen[str] | None = None

    @property
    def errors(self) -> Path:
        """What its processes said on standard error."""
        return self.data_dir.parent / f"{self.data_dir.name}.err"

    @property
    def environment(self) -> dict[str, str]:
        """Of its processes, and of commands that are to find its database."""
        own = environment_of(self.data_dir) if self._environment is None else self._environment
        return {**os.environ, **own}

    @property
    def url(self) -> str:
        return str(self.ready["url"])

    @property
    def production(self) -> dict[str, Any]:
        return dict(self.demo["environments"]["production"])

    def make_demo(self) -> "Served":
        made = subprocess.run(
            [CAIRN, "demo", "--data-dir", self.data_dir, "--json"],
            check=True,
            capture_output=True,
            text=True,
            env=self.environment,
        )
        self.demo = json.loads(made.stdout)
        return self

    def start(self, *, port: int = 0) -> "Served":
        serve = [CAIRN, "serve", "--data-dir", self.data_dir, "--port", str(port), "--json", *self._options]
        with self.errors.open("a") as errors:
            self._process = subprocess.Popen(
                self._command or serve,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=self.environment,
            )
        assert self._process.stdout is not None
        started = time.monotonic()
        line = self._process.stdout.readline()
        if not line:
            status = self._ended()
            said = self.errors.read_text()[-2000:]
            raise RuntimeError(
                f"cairn serve ended with {status} after {time.monotonic() - started:.1f} s: {said}"
            )
        self.ready = json.loads(line)
        return self

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill_everything(self) -> None:
        """Kill −9 of the supervisor; its processes follow it at once."""
        assert self._process is not None
        self._process.kill()
        self._ended()

    def stop(self) -> int:
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._ended()
        except subprocess.TimeoutExpired:
            os.kill(self._process.pid, signal.SIGKILL)
            raise

    def _ended(self) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        status = self._process.wait(PATIENCE_S)
        self._process.stdout.close()
        return status

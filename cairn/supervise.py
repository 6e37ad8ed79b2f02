"""`cairn serve`: starts edge, core and delivery, starts each again at once when it dies, stops all together.

The public socket belongs to the supervisor and is inherited by the edge. So port 0 works, a restarted edge has the
same port, and whoever connects in between waits in the backlog instead of being refused. Light on purpose: one
thread, nothing imported that the processes need.
"""

import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from cairn.errors import Misconfigured
from cairn.ownership import Ownership, served_at
from cairn.paths import Paths
from cairn.private_files import narrow
from cairn.redact import redacted
from cairn.settings import SETTINGS, Settings

BACKLOG = 2048  # connections that may wait while the edge restarts
FAST_DEATH_S = 1.0  # a process that died this soon after its start probably dies again
FIRST_PAUSE_S = 0.05  # after the second fast death in a row; doubles from there
LONGEST_PAUSE_S = 1.0
MOST_DEATHS_BEFORE_READY = 5  # then the start has failed
STOP_S = {
    "edge": 5.0,
    "core": 15.0,
    "delivery": 8.0,
}  # to end in order; then it is killed, which loses nothing
# A starting core, or a long question, never makes the edge wait for the processor, nor deliveries the core.
NICENESS = {"core": 5, "delivery": 7}
COMMANDS = {"delivery": "deliver"}  # of the command line, where it is not called as the role is
# A core whose loader has been at one batch this long is ended; then the batch is loaded again in parts. The slowest
# batches take seconds.
HANG_S = 120.0
HANG_LOOKS = 24  # in that time
DIED_VARIABLE = "CAIRN_DIED"  # as in ingest/attempts, which is not imported here: this process stays small
MISCONFIGURED = Misconfigured.exit_status  # a child that ends like this will do so again
ROLES: dict[str, tuple[str, ...]] = {
    "all": ("edge", "core", "delivery"),
    "edge": ("edge",),
    "core": ("core",),
    "delivery": ("delivery",),
}
_PR_SET_PDEATHSIG = 1  # prctl(2)


class PortTaken(Misconfigured):
    """Another program listens on this address. Stop it, or choose another --port; 0 picks a free one."""

    code = "port_taken"


Commands = Callable[[str, int | None, int], list[str]]  # role, socket fd, ready fd -> argv


def serve(
    settings: Settings,
    *,
    role: str = "all",
    as_json: bool = False,
    commands: Commands | None = None,
    hang_s: float = HANG_S,
) -> int:
    """Run until SIGTERM or SIGINT; return the exit status.

    Raises: AlreadyServed, PortTaken. Guarantee: its processes die with it, however it dies.
    """
    ownership = Ownership(settings.data_dir, ROLES[role])
    _keep_private(settings.data_dir)
    if role == "all":  # Limit: when one of them starts alone, another may have the members open
        _rewrite_members(settings.data_dir)
    listening = _listen(settings) if "edge" in ROLES[role] else None
    url = _url(settings, listening.getsockname()[1] if listening else settings.port)
    ownership.note(url)
    supervisor = _Supervisor(
        ROLES[role],
        commands or _cairn_commands(settings),
        listening,
        ownership.locks,
        url=url,
        as_json=as_json,
        loading=_Loading(Paths(settings.data_dir).loading, hang_s),
    )
    try:
        return supervisor.run()
    finally:
        if listening:
            listening.close()
        ownership.close()


def _keep_private(data_dir: Path) -> None:
    if narrowed := narrow(data_dir):
        _say(
            f"{data_dir}: {narrowed} files and folders were open to other users and are its owner's alone now"
        )
    if os.geteuid() == 0:
        _say("running as root; give Cairn a user of its own, so that a flaw in it is not one in the machine")


def _rewrite_members(data_dir: Path) -> None:
    """While nobody has it open: after a user was deleted, the store of members is written anew."""
    path = Paths(data_dir).members
    if path.with_name(f"{path.name}.rewrite").exists():
        from cairn.members.environment import MAP_BYTES
        from cairn.members.rewrite import rewrite_if_asked

        rewrite_if_asked(path, map_bytes=MAP_BYTES)


def address_of(settings: Settings) -> str:
    """Where people reach this data directory: of the Cairn that serves it now, else as these settings say."""
    return served_at(settings.data_dir) or _url(settings, settings.port)


class _Child:
    """One process of ours: started, watched, started again."""

    def __init__(self, role: str, argv: Callable[[int], list[str]], inherited: tuple[int, ...]) -> None:
        self.role = role
        self.process: subprocess.Popen[bytes] | None = None
        self.is_ready = False
        self.deaths = 0  # in a row, each before or soon after it was ready
        self.died: str | None = None  # how it ended last: its status, "hang" or "memory"
        self.is_hung = False
        self.memory_kills = 0  # of the whole machine, when it started
        self.start_at = 0.0  # when to start it (again); monotonic
        self.started_at = 0.0
        self.exit_fd = self.ready_fd = -1
        self._argv = argv
        self._inherited = inherited

    def start(self) -> None:
        self.ready_fd, its_end = os.pipe()
        try:
            self.process = subprocess.Popen(
                self._argv(its_end),
                stdin=subprocess.DEVNULL,
                pass_fds=(*self._inherited, its_end),
                env=os.environ if self.died is None else {**os.environ, DIED_VARIABLE: self.died},
                process_group=0,  # Ctrl-C reaches the supervisor only, which stops its processes in order
                preexec_fn=_before_exec(NICENESS.get(self.role, 0)),
            )
        finally:
            os.close(its_end)
        self.exit_fd = os.pidfd_open(self.process.pid)
        self.memory_kills = memory_kills()
        self.started_at, self.is_ready = monotonic(), False

    def ended(self) -> int:
        """Take note of its end; return its status (below 0: the signal that ended it)."""
        assert self.process is not None
        status = self.process.wait()
        died_early = not self.is_ready or monotonic() - self.started_at < FAST_DEATH_S
        self.process, self.is_ready = None, False
        os.close(self.exit_fd)
        if self.ready_fd >= 0:
            os.close(self.ready_fd)
        self.exit_fd = self.ready_fd = -1
        self.died = self._how_it_died(status)
        self.is_hung = False
        self.deaths = self.deaths + 1 if died_early else 0
        self.start_at = monotonic() + pause_s(self.deaths)
        return status

    def _how_it_died(self, status: int) -> str:
        if self.is_hung:
            return "hang"
        return "memory" if status == -signal.SIGKILL and memory_kills() > self.memory_kills else str(status)

    def heard(self) -> None:
        """Read what it says on its ready pipe: something once it serves, nothing when it died before."""
        self.is_ready = self.is_ready or bool(os.read(self.ready_fd, 64))
        os.close(self.ready_fd)
        self.ready_fd = -1

    def end_hang(self) -> None:
        assert self.process is not None
        self.is_hung = True
        self.process.kill()

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None


class _Loading:
    """The note that the core's loader makes before each batch and empties after it (ingest/attempts)."""

    def __init__(self, path: Path, longest_s: float) -> None:
        self._path, self._longest_s = path, longest_s
        self.look_s = longest_s / HANG_LOOKS
        self._seen = (0, 0)
        self._since = monotonic()
        self._left = (0, 0)

    def is_stuck(self) -> bool:
        try:
            status = self._path.stat()
        except OSError:
            return False
        seen = (status.st_mtime_ns, status.st_size)
        if seen != self._seen or seen == self._left or not status.st_size:
            self._seen, self._since = seen, monotonic()
        return monotonic() - self._since > self._longest_s

    def start_anew(self) -> None:
        """What is there now is from a core that is gone."""
        with contextlib.suppress(OSError):
            status = self._path.stat()
            self._left = (status.st_mtime_ns, status.st_size)


def pause_s(deaths: int) -> float:
    """How long to wait before the next start: nothing at first, at most a second however often it died."""
    return 0.0 if deaths < 2 else min(FIRST_PAUSE_S * 2.0 ** (min(deaths, 10) - 2), LONGEST_PAUSE_S)


def memory_kills() -> int:
    """How many processes the kernel has killed because memory ran out, since the machine started. Linux."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


class _Supervisor:
    def __init__(
        self,
        roles: tuple[str, ...],
        commands: Commands,
        listening: socket.socket | None,
        locks: tuple[int, ...],
        *,
        url: str,
        as_json: bool,
        loading: "_Loading",
    ) -> None:
        self._url, self._as_json = url, as_json
        self._was_ready = False
        self._stopping = 0  # how often we were told to
        self._status = 0
        self._loading = loading
        self._selector = selectors.DefaultSelector()
        self._children = [_child(role, commands, listening, locks) for role in roles]
        # Deliveries are nobody's reason not to start.
        self._needed = [child for child in self._children if child.role != "delivery"] or self._children

    def run(self) -> int:
        wake = self._hear_signals()
        try:
            while not self._stopping:
                self._start_due()
                self._wait(self._until_next_look())
                self._end_hang()
            self._stop_all()
        finally:
            for child in self._children:
                if child.process:
                    child.process.kill()
                    child.process.wait()
            signal.set_wakeup_fd(-1)
            for end in wake:
                end.close()
            self._selector.close()
        return self._status

    def _hear_signals(self) -> tuple[socket.socket, socket.socket]:
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno())
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)  # the wake-up above tells the loop
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._told(ours))
        return ours, theirs

    def _told(self, wake: socket.socket) -> None:
        self._stopping += sum(byte != signal.SIGCHLD for byte in wake.recv(64))

    def _start_due(self) -> None:
        for child in self._children:
            if child.process is None and child.start_at <= monotonic():
                if child.role == "core":
                    self._loading.start_anew()
                child.start()
                self._selector.register(
                    child.exit_fd, selectors.EVENT_READ, lambda child=child: self._ended(child)
                )
                self._selector.register(
                    child.ready_fd, selectors.EVENT_READ, lambda child=child: self._heard(child)
                )

    def _until_next_look(self) -> float:
        due = [child.start_at - monotonic() for child in self._children if child.process is None]
        return max(0.0, min([self._loading.look_s, *due]))

    def _end_hang(self) -> None:
        for child in self._children:
            if child.role == "core" and child.process is not None and self._loading.is_stuck():
                _say("the core has been loading the same requests for too long and is ended")
                self._loading.start_anew()
                child.end_hang()

    def _wait(self, seconds: float | None) -> None:
        ready = self._selector.select(seconds)
        # What a process said comes before its end: it may have been ready for a moment.
        for key, _ in sorted(ready, key=lambda one: one[0].fd in (child.exit_fd for child in self._children)):
            if key.fd in self._selector.get_map():
                key.data()

    def _heard(self, child: _Child) -> None:
        self._selector.unregister(child.ready_fd)
        child.heard()
        if not self._was_ready and all(child.is_ready for child in self._needed):
            self._was_ready = True
            print(self._ready_line(), flush=True)

    def _ended(self, child: _Child) -> None:
        self._selector.unregister(child.exit_fd)
        if child.ready_fd >= 0:
            self._selector.unregister(child.ready_fd)
        status = child.ended()
        if self._stopping:
            return
        has_failed = status == MISCONFIGURED or child.deaths >= MOST_DEATHS_BEFORE_READY
        if not self._was_ready and has_failed and child in self._needed:
            _say(f"the {child.role} does not start ({_how(status)}); see its message above")
            self._stopping, self._status = 1, status if status > 0 else 1
            return
        _say(f"the {child.role} ended ({_how(status)}); starting it again")

    def _stop_all(self) -> None:
        """The edge first, so that whatever it accepts last is still passed on."""
        for child in self._children:
            if child.process is None:
                continue
            child.process.terminate()
            patience_ends = monotonic() + STOP_S[child.role]
            while child.process is not None and self._stopping < 2 and monotonic() < patience_ends:
                self._wait(max(0.0, patience_ends - monotonic()))
            if child.process is not None:
                _say(f"the {child.role} did not end in time and was killed")
                child.process.kill()
                while child.process is not None:
                    self._wait(None)

    def _ready_line(self) -> str:
        if not self._as_json:
            return f"Cairn is ready at {self._url}"
        pids = {f"{child.role}_pid": child.pid for child in self._children}
        return json.dumps({"ready": True, "url": self._url, "pid": os.getpid(), **pids})


def _child(role: str, commands: Commands, listening: socket.socket | None, locks: tuple[int, ...]) -> _Child:
    socket_fd = listening.fileno() if listening and role == "edge" else None
    inherited = locks if socket_fd is None else (*locks, socket_fd)
    return _Child(role, lambda ready_fd: commands(role, socket_fd, ready_fd), inherited)


def _cairn_commands(settings: Settings) -> Commands:
    options: list[str] = []
    for setting in SETTINGS:
        value = getattr(settings, setting.name)
        if setting.is_secret:
            os.environ[f"CAIRN_{setting.name.upper()}"] = (
                value  # every user of the machine sees command lines
            )
        elif value is not None:  # else it is not set, and no text says so
            options += [f"--{setting.name.replace('_', '-')}", str(value)]

    def command(role: str, socket_fd: int | None, ready_fd: int) -> list[str]:
        inherited = ["--ready-fd", str(ready_fd)]
        if socket_fd is not None:
            inherited += ["--socket-fd", str(socket_fd)]
        return [sys.executable, "-m", "cairn.cli.main", COMMANDS.get(role, role), *options, *inherited]

    return command


def _before_exec(niceness: int) -> Callable[[], None]:
    """For the child, between fork and exec: its place in the queue for the processor, and the kernel kills it when the
    supervisor is gone. Linux."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.nice(niceness)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise PortTaken(
            f"{settings.host} port {settings.port} cannot be listened on: {error.strerror or error}; "
            "stop the program that uses it, or choose another --port",
            field="port",
        ) from error


def _url(settings: Settings, port: int) -> str:
    if settings.public_url:
        return settings.public_url.rstrip("/")
    host = "localhost" if settings.host in ("0.0.0.0", "::") else settings.host
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _how(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"


def _say(message: str) -> None:
    print(redacted(f"cairn: {message}"), file=sys.stderr, flush=True)

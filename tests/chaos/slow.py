"""Clients that begin a request and never end it, nine kinds of them, while others send and ask."""

import gzip
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.figures import spread
from tests.chaos.checks import count, wait_for_quiet
from tests.chaos.senders import Caller
from tests.served import Served

SLOW_S = 30.0
OF_EACH_KIND = 12
DRIP_S = 0.5  # a byte now and then, which must not keep a request alive
_POST = b"POST %s HTTP/1.1\r\nHost: cairn.test\r\nContent-Type: application/json\r\n"
_TRACK = _POST % b"/api/track"
_BODY = b'{"app_id":"1","event":"Slow","identity":"slow@shop.test"'
BEGINNINGS = {
    "silent": b"",
    "half a line": b"GET /si",
    "half a header": b"GET /sign-in HTTP/1.1\r\nHost: cairn.test\r\nX-Slow: ",
    "no body": _TRACK + b"Content-Length: 9000000\r\n\r\n",
    "half a body": _TRACK + b"Content-Length: 9000000\r\n\r\n" + _BODY,
    "half a chunk": _TRACK + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n" + _BODY,
    "half a compressed body": _TRACK
    + b"Content-Encoding: gzip\r\nContent-Length: 900\r\n\r\n"
    + gzip.compress(_BODY),
    "half a batch of flag events": _POST % b"/server-side/batch-events-v2"
    + b"Content-Length: 9000000\r\n\r\n{",
    "half a page's form": _POST % b"/sign-in" + b"Content-Length: 900\r\n\r\nx=",
}


def hold_slowly(data_dir: Path, seconds: float = SLOW_S) -> dict[str, Any]:
    """Every kind of slow sender, again as soon as it is cut off, while clients with keys go on."""
    served = Served(data_dir, options=("--rate-limits", "false")).make_demo().start()
    sdk = f"i={served.production['sdk_key']}&a={served.demo['account_id']}&sn=vwo-fme-node-sdk&sv=1.35.0"
    track = {"app_id": served.production["app_id"], "identity": "chaos@shop.test", "event": "Chaos"}
    callers = [
        Caller(served.url, "settings", "GET", f"/server-side/v2-settings?{sdk}"),
        Caller(served.url, "page", "GET", "/sign-in"),
        Caller(served.url, "track", "POST", "/api/track", track),
    ]
    slow = [_Slow(served.url, kind) for kind in BEGINNINGS for _ in range(OF_EACH_KIND)]
    try:
        for caller in callers:
            caller.start()
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            for sender in slow:
                sender.drip()
            time.sleep(DRIP_S)
        for caller in callers:
            caller.finish()
        wait_for_quiet(served)
    finally:
        for sender in slow:
            sender.close()
        served.stop()
    sent, stored = len(callers[-1].took_ms), count(data_dir, "kind = 'custom' AND name = 'Chaos'")
    unfinished = count(data_dir, "name = 'Slow'")
    failures = {caller.name: caller.failures[:5] for caller in callers if caller.failures}
    return {
        "kinds": len(BEGINNINGS),
        "held": len(slow),
        "cut_off": sum(sender.cut_off for sender in slow),
        "calls_ms": {caller.name: spread(caller.took_ms) for caller in callers},
        "failures": failures,
        "events_sent": sent,
        "events_stored": stored,
        "slow_events_stored": unfinished,
        "kept": not failures and sent == stored > 0 and unfinished == 0,
    }


class _Slow:
    """One connection that begins a request; a new one when it is cut off."""

    def __init__(self, url: str, kind: str) -> None:
        place = urlsplit(url)
        self._address, self._kind = (place.hostname or "", place.port or 80), kind
        self._connection: socket.socket | None = None
        self.cut_off = 0

    def drip(self) -> None:
        try:
            if self._connection is None:
                self._connection = socket.create_connection(self._address, timeout=20)
                self._connection.sendall(BEGINNINGS[self._kind])
            elif self._is_over(self._connection):
                self.close()
                self.cut_off += 1
            elif self._kind in ("half a header", "half a body"):
                self._connection.sendall(b"x")
        except OSError:
            self.close()
            self.cut_off += 1

    @staticmethod
    def _is_over(connection: socket.socket) -> bool:
        """Answered or ended: whatever comes is no answer to a whole request."""
        connection.setblocking(False)
        try:
            connection.recv(65_536)
        except BlockingIOError:
            return False
        finally:
            connection.settimeout(20)
        return True

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

"""Destinations to measure deliveries with, in a process of their own: `python -m bench.targets`. It prints its address.

What is posted to a path is kept, with the time; the path's name says how it answers: /fast…, /slow…, /busy… (429),
/garbage… (5 MB of it). `GET /heal` makes all of them fast. `GET /got/fast1` tells what arrived there.
"""

import asyncio
import json
import time
from collections import defaultdict
from datetime import datetime
from typing import Any, cast

import uvloop

SLOW_S = 2.0
_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
_BUSY = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n"
_GARBAGE = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5000000\r\n\r\n" + b"\0" * 5_000_000


class Targets:
    def __init__(self) -> None:
        self.got: defaultdict[str, list[tuple[float, bytes]]] = defaultdict(list)
        self.is_healed = False

    def answer(self, path: str, body: bytes) -> tuple[bytes, float]:
        """What is answered, after how many seconds."""
        now = time.time()
        name = path.strip("/")
        if path == "/heal":
            self.is_healed = True
        elif name.startswith("got/"):
            return _json(self.told(name.removeprefix("got/"))), 0.0
        elif name.startswith("forget/"):
            self.got.pop(name.removeprefix("forget/"), None)
        elif name.startswith("busy") and not self.is_healed:
            return _BUSY, 0.0
        elif name.startswith("garbage") and not self.is_healed:
            return _GARBAGE, 0.0
        else:
            self.got[name].append((now, body))
            return _OK, SLOW_S if name.startswith("slow") and not self.is_healed else 0.0
        return _OK, 0.0

    def told(self, name: str) -> dict[str, Any]:
        orders: defaultdict[str, list[int]] = defaultdict(list)
        latencies, ids, requests = [], set(), self.got[name]
        for at, body in requests:
            read = json.loads(body)
            for message in read if isinstance(read, list) else [read]:
                received = datetime.fromisoformat(message["receivedAt"].replace("Z", "+00:00")).timestamp()
                latencies.append((at - received) * 1000)
                if message["messageId"] not in ids:
                    orders[message["userId"]].append(message["properties"]["number"])
                ids.add(message["messageId"])
        return {
            "requests": len(requests),
            "messages": len(latencies),
            "different": len(ids),
            "in_order": all(numbers == sorted(numbers) for numbers in orders.values()),
            "last_at": max((at for at, _ in requests), default=0.0),
            "latencies_ms": latencies,
        }


class _Connection(asyncio.Protocol):
    def __init__(self, targets: Targets) -> None:
        self._targets, self._buffer = targets, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end].lower()
            at = head.find(b"content-length: ")
            length = int(head[at + 16 :].split(b"\r", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            path = head.split(b" ", 2)[1].decode()
            body, self._buffer = self._buffer[end + 4 : end + 4 + length], self._buffer[end + 4 + length :]
            said, after_s = self._targets.answer(path, body)
            if after_s:
                asyncio.get_running_loop().call_later(after_s, self._write, said)
            else:
                self._write(said)

    def _write(self, said: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(said)


def _json(value: Any) -> bytes:
    body = json.dumps(value).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body


async def _serve() -> None:
    targets = Targets()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(targets), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())

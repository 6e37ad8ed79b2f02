"""A small core for tests of the edge and the supervisor: `python -m tests.stand_in_core SOCKET READY_FD`."""

import asyncio
import json
import os
import sys
from typing import Any

import uvicorn


async def app(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if scope["path"] == "/stream":
        await stream(scope, receive, send)
        return
    handler = {"/long": long, "/silent": silent, "/cut": cut, "/none": none, "/env/dies": die}.get(
        scope["path"], echo
    )
    await handler(scope, body, send)


async def echo(scope: Any, body: bytes, send: Any) -> None:
    """Say what was heard."""
    heard = {
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode("latin-1"),
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
        "body_bytes": len(body),
        "pid": os.getpid(),
    }
    headers = [(b"content-type", b"application/json"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    await say(send, json.dumps(heard).encode(), headers)


async def stream(scope: Any, receive: Any, send: Any) -> None:
    """Server-sent events until the reader leaves; notes in a file that it left."""
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}
    )
    leaving = asyncio.ensure_future(receive())
    number = 0
    while not leaving.done():
        await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
        number += 1
        await asyncio.wait([leaving], timeout=0.02)
    with open(os.environ["STAND_IN_LEFT"], "w") as left:
        left.write("left")


async def long(scope: Any, body: bytes, send: Any) -> None:
    """Three megabytes in pieces, without a length."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for number in range(48):
        await send({"type": "http.response.body", "body": bytes([number]) * 65_536, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def silent(scope: Any, body: bytes, send: Any) -> None:
    await asyncio.sleep(60)


async def cut(scope: Any, body: bytes, send: Any) -> None:
    """Die in the middle of an answer."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    await asyncio.sleep(0.05)
    os._exit(9)


async def die(scope: Any, body: bytes, send: Any) -> None:
    """Before a byte of the answer."""
    os._exit(9)


async def none(scope: Any, body: bytes, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def say(send: Any, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Server(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        os.write(int(sys.argv[2]), b"ready\n")
        os.close(int(sys.argv[2]))


if __name__ == "__main__":
    if os.path.exists(sys.argv[1]):
        os.unlink(sys.argv[1])
    config = uvicorn.Config(
        app,
        uds=sys.argv[1],
        lifespan="off",
        log_level="error",
        timeout_graceful_shutdown=1,
        interface="asgi3",
    )
    Server(config).run()

"""Work in a thread for a reader on the network: when the reader goes away, what it asks of the store is stopped."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from cairn.store.running import Running

Answer = TypeVar("Answer")
_KEY = "cairn.running"


def running_of(request: Request) -> Running:
    """What the store is asked on behalf of this request; the same one every time."""
    running: Running = request.scope.setdefault(_KEY, Running())
    return running


async def while_waited_for(request: Request, work: Callable[[], Answer]) -> Answer:
    """Run it in a thread, to its end in any case: only its questions end early. The request's body was read before."""
    watching = asyncio.create_task(_cancel_when_left(request))
    try:
        return await run_in_threadpool(work)
    finally:
        watching.cancel()


async def _cancel_when_left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    await asyncio.to_thread(running_of(request).cancel)

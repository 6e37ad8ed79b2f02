"""The delivery process: what sources sent goes to the destinations of their connections.

It owns nothing that others wait for: it reads the event log and the metadata database, and whatever a destination does
to it concerns deliveries alone.
"""

import asyncio
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import uvloop

from cairn.clock import PossibleClock
from cairn.paths import Paths
from cairn.settings import Settings

if TYPE_CHECKING:
    from cairn.routing.delivery.process import Delivery

# Reading threads give way to the loop sooner than Python's 5 ms.
SWITCH_S = 0.0005
_TIMEOUT_S = 10.0  # of one request


def run_delivery(settings: Settings, *, ready: Callable[[], None]) -> None:
    """Deliver until SIGTERM. `ready` is called at once: nobody waits for a delivery."""
    sys.setswitchinterval(SWITCH_S)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_deliver(settings, ready))


async def _deliver(settings: Settings, ready: Callable[[], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    ready()
    opening = asyncio.create_task(asyncio.to_thread(_opened, settings))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((opening, stopping), return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        return
    delivery, close = await opening
    try:
        await delivery.run(stop)
    finally:
        stopping.cancel()
        close()


def _opened(settings: Settings) -> "tuple[Delivery, Callable[[], None]]":
    """Waits for the metadata database. What it needs is imported here, beside the core's start and not before it."""
    from cairn.http_client import AsyncHttpClient
    from cairn.routing.delivery.process import Delivery
    from cairn.seams import open_log, wait_for_metadata
    from cairn.workspace.sealed import open_seal

    engine = wait_for_metadata(settings)
    log = open_log(settings)
    client = AsyncHttpClient(settings.outbound_networks, timeout_s=_TIMEOUT_S)
    delivery = Delivery(
        log,
        engine,
        open_seal(settings.data_dir),
        client,
        PossibleClock([Paths(settings.data_dir).log_end]),
        longest_lag=timedelta(days=settings.log_retention_days),
    )

    def close() -> None:
        client.close()
        log.close()
        engine.dispose()

    return delivery, close

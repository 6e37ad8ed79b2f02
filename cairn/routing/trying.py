"""Trying a connection: one harmless request, and what its answer means."""

import asyncio
from datetime import datetime

from msgspec import Struct

from cairn.errors import Conflict, Unavailable
from cairn.http_client import HttpClient
from cairn.http_client.retry import said
from cairn.routing.answer import judge
from cairn.routing.delivery.shown import Hidden
from cairn.routing.destination import Configuration, Destination, NotForDestination, Send, Trial, Verdict

_LONGEST_S = 15.0  # of destinations that are no HTTP calls


class NothingToTry(Conflict):
    """The destination has no request that tests a connection."""

    code = "nothing_to_try"


class Tried(Struct, frozen=True):
    is_right: bool
    detail: str  # what the destination said, or why it was not reached; without secrets


def can_be_tried(destination: Destination) -> bool:
    return destination.trial is not None or destination.send is not None


def try_out(
    destination: Destination, configuration: Configuration, client: HttpClient, now: datetime
) -> Tried:
    """Waits for the answer, within the client's limits. Raises NothingToTry."""
    try:
        if destination.send is not None:
            verdict = asyncio.run(_sent_by_itself(destination.send, configuration, client))
        elif destination.trial is not None:
            verdict = _answered(destination, destination.trial, configuration, client, now)
        else:
            raise NothingToTry(f"{destination.name} has no connection test")
    except Unavailable as error:  # CallFailed, CallRefused
        verdict = Verdict(detail=str(error))
    except NotForDestination as error:
        verdict = Verdict(detail=error.detail)
    except TimeoutError:
        verdict = Verdict(detail=f"took longer than {_LONGEST_S:.0f} s")
    detail = verdict.detail or ("The destination took it." if verdict.is_delivered else "")
    return Tried(verdict.is_delivered, Hidden(configuration.secrets.values()).detail(detail))


def _answered(
    destination: Destination, trial: Trial, configuration: Configuration, client: HttpClient, now: datetime
) -> Verdict:
    answer = client.send(trial(configuration, now).call)
    verdict = (destination.judge or judge)(answer, now)
    return Verdict(is_delivered=True, detail=said(answer)) if verdict.is_delivered else verdict


async def _sent_by_itself(send: Send, configuration: Configuration, client: HttpClient) -> Verdict:
    async with asyncio.timeout(_LONGEST_S):
        return await send((), configuration, client.locate)

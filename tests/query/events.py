"""Events written by hand."""

import random

from cairn.event import Draft, Kind


def event(
    environment_id: int, time_ms: int, *, user_id: int = 1, kind: str = Kind.CUSTOM, name: str = "Paid"
) -> Draft:
    number = random.getrandbits(64)
    return Draft(environment_id, kind, name, time_ms, time_ms, user_id=user_id, event_id=number)

"""Why an event cannot be kept, on its way from the check that found it to the one `Refused` it becomes."""

import msgspec
from msgspec import Raw

from cairn.event import Arrival, Refused
from cairn.outcomes import Reason
from cairn.redact import redacted

_PAYLOAD_CHARACTERS = 2_000  # of what was received, so that the sender recognises it on the Live page
_USER_CHARACTERS = 255
_NAME_CHARACTERS = 1_024
_DETAIL_CHARACTERS = 1_000


class Rejected(Exception):
    """One event cannot be kept. Caught by the parser of that event, so it costs no other."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def refused(
    arrival: Arrival, rejected: Rejected, payload: bytes | Raw, *, name: str = "", user: str = ""
) -> Refused:
    return Refused(
        arrival.environment_id,
        arrival.received_ms,
        rejected.reason,
        rejected.detail[:_DETAIL_CHARACTERS],
        name[:_NAME_CHARACTERS],
        user[:_USER_CHARACTERS],
        arrival.source,
        shown(payload),
    )


def shown(payload: bytes | Raw) -> str:
    """The beginning of what was received; bytes that are not text, and NUL, are replaced."""
    # 4 bytes are the longest character.
    text = bytes(memoryview(payload)[: _PAYLOAD_CHARACTERS * 4]).decode(errors="replace")
    return text[:_PAYLOAD_CHARACTERS].replace("\0", "\ufffd")


def without_keys(refused: Refused) -> Refused:
    """With keys shortened in all that is shown of it. Costs up to a millisecond: where a refusal is recorded, once."""
    return msgspec.structs.replace(
        refused,
        detail=redacted(refused.detail),
        name=redacted(refused.name),
        user=redacted(refused.user),
        payload=redacted(refused.payload),
    )

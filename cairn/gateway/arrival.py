"""An event of a flag SDK as the event log keeps it. Pure."""

from cairn.event import Arrival
from cairn.gateway.answers import Request
from cairn.wire.refusal import Rejected
from cairn.wire.wingify import LONGEST_NAME

REFUSED_BYTES = 8_000  # kept of what is refused: 2,000 characters


def arrival_of(
    parser: str,
    request: Request,
    environment_id: int,
    body: bytes,
    received_ms: int,
    rejected: Rejected | None = None,
) -> Arrival:
    extra = {
        name: value[:LONGEST_NAME] for name in ("en", "a", "sn", "sv") if (value := request.parameter(name))
    }
    if rejected is not None:  # of what is refused as a whole, enough to recognise it
        extra |= {"reason": rejected.reason.value, "detail": rejected.detail}
        body = body[:REFUSED_BYTES]
    return Arrival(
        parser=parser,
        environment_id=environment_id,
        source_id=0,
        source="flags",
        received_ms=received_ms,
        ip=request.header(b"vwo-x-forwarded-for") or request.parameter("visitor_ip"),
        user_agent=request.header(b"x-device-user-agent") or request.parameter("visitor_ua"),
        body=body,
        extra=extra,
    )

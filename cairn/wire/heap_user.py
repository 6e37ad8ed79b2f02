"""What Heap's capture clients, new and old, say alike: users, ids, times and the environment."""

import hashlib
from collections.abc import Mapping

from cairn.event import Scalar
from cairn.ids import MAX_USER_ID
from cairn.outcomes import Reason
from cairn.wire.heap_facts import text_of
from cairn.wire.heap_message import Moment, Text, Time
from cairn.wire.properties import joined_scalars
from cairn.wire.reading import Json
from cairn.wire.refusal import Rejected
from cairn.wire.times import epoch_ms
from cairn.wire.users import check_identity, numeric_id

_RESERVED = frozenset(("id", "user_id"))  # names no user property may have, in any casing: they clash
_MOST_S = 2**43  # seconds; beyond it milliseconds are not exact numbers


def check_environment(environment: str, app_id: str) -> None:
    """Raises Rejected when a message names another environment than its request, so none can write into another's."""
    if environment and app_id and environment.strip() != app_id:
        raise Rejected(
            Reason.BAD_REQUEST, f"env_id: {environment[:40]!r} is not the request's environment {app_id}"
        )


def user_id_of(value: Text, field: str = "user_id") -> int:
    """Raises Rejected."""
    text = text_of(value).strip()
    if not text:
        raise Rejected(Reason.NO_USER, f"{field}: is missing; send the id that the client gave the user")
    return numeric_id(text, field)


def identity_of(value: Text) -> tuple[str, str]:
    """The identity beside an event, and why it was left out if it was: the event itself still is its user's."""
    identity = text_of(value)
    if not identity:
        return "", ""
    try:
        return check_identity(identity, "identity"), ""
    except Rejected as rejected:
        return "", f"identity left out: {rejected.detail}"


def any_id(value: Text) -> int:
    """A session's or pageview's number; clients that name them by other text get a number of it; 0 for none."""
    text = text_of(value).strip()
    if text.isascii() and text.isdecimal() and len(text) <= 16:
        number = int(text)
        if number <= MAX_USER_ID:
            return number
    if not text:
        return 0
    digest = hashlib.blake2b(text.encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % MAX_USER_ID + 1


def moment_ms(time: Time | None, received_ms: int) -> int:
    """Epoch milliseconds; without a time, that of receipt. Raises Rejected."""
    if time is None or time == "":
        return received_ms
    if isinstance(time, str | int | float):
        return epoch_ms(time, "time")
    return _timestamp_ms(time) or received_ms


def user_changes(properties: Mapping[str, Json]) -> dict[str, Scalar]:
    """Raises Rejected."""
    return {key: value for key, value in joined_scalars(properties).items() if key.lower() not in _RESERVED}


def _timestamp_ms(moment: Moment) -> int:
    """Of a protobuf Timestamp, or of its JSON form, where seconds are text."""
    seconds = moment.seconds
    if isinstance(seconds, str):
        seconds = int(seconds) if seconds.isascii() and seconds.isdecimal() and len(seconds) < 16 else -1
    if not 0 <= seconds < _MOST_S:
        raise Rejected(Reason.BAD_TIMESTAMP, "time: neither ISO 8601 nor epoch milliseconds")
    return seconds * 1000 + moment.nanos // 1_000_000

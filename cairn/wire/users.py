"""Who an event is about, as senders name users: identities, numeric user ids, anonymous ids."""

from cairn.ids import MAX_USER_ID
from cairn.outcomes import Reason
from cairn.wire.refusal import Rejected

LONGEST_ID = 255  # characters

# What a program sends when it has no user: everybody without one would become the same person.
_JUNK = frozenset(
    {
        "null",
        "undefined",
        "none",
        "nil",
        "nan",
        "void",
        "n/a",
        "na",
        "-",
        "-1",
        "true",
        "false",
        "unknown",
        "guest",
        "anonymous",
        "anon",
        "not set",
        "(not set)",
        "(null)",
        "<null>",
        "[object object]",
        "{}",
        "[]",
        "00000000-0000-0000-0000-000000000000",
    }
)


def check_identity(identity: str, field: str, *, is_zero_allowed: bool = False) -> str:
    """Return the identity as it was sent. Raises Rejected.

    "0" is refused where back ends write ids by hand, and a real identity on Heap's integration endpoints
    (contracts/segment.md 5.6).
    """
    folded = identity.strip().lower()
    if not folded or folded in _JUNK or (folded == "0" and not is_zero_allowed):
        raise Rejected(
            Reason.JUNK_IDENTITY, f"{field}: {identity[:50]!r} names no one; send the user's own id"
        )
    if len(identity) > LONGEST_ID:
        raise Rejected(Reason.ID_TOO_LONG, f"{field}: {len(identity)} characters, {LONGEST_ID} are allowed")
    return identity


def check_anonymous_id(anonymous_id: str, field: str) -> str:
    if len(anonymous_id) > LONGEST_ID:
        raise Rejected(
            Reason.ID_TOO_LONG, f"{field}: {len(anonymous_id)} characters, {LONGEST_ID} are allowed"
        )
    return anonymous_id


def numeric_id(value: str | int, field: str) -> int:
    """A user or session id: decimal, text or number, up to 2**53 - 1. Raises Rejected.

    Limit: 0 is refused although Heap's range begins there, because 0 means "none" in an event; a random id of
    53 bits is never 0.
    """
    if isinstance(value, str):
        text = value.strip()
        number = int(text) if text.isascii() and text.isdecimal() and len(text) <= 16 else -1
    else:
        number = value
    if not 0 < number <= MAX_USER_ID:
        raise Rejected(
            Reason.BAD_REQUEST, f"{field}: {str(value)[:40]!r} is not a decimal number from 1 to 2**53-1"
        )
    return number

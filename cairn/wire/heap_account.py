"""Account properties: what is known of the company, team or household that users belong to.

A back end names the account. A capture client names its user, and the account is the one the user belongs to.
Source: contracts/heap.md sections 2.5, 2.7 and 4.5.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from cairn.event import Arrival, Draft, Kind, Refused, Scalar
from cairn.outcomes import Reason
from cairn.wire.heap_user import check_environment, user_id_of
from cairn.wire.lenient import read_object
from cairn.wire.properties import joined_scalars
from cairn.wire.reading import Json, open_batch, safe_text
from cairn.wire.refusal import Rejected, refused
from cairn.wire.users import LONGEST_ID, check_identity

MOST_ACCOUNTS = 1_000  # per request
NAME = "Set account properties"
_RESERVED = frozenset(("id", "account_id"))  # they would clash with the account's own name
_SERVER = "server"  # what Heap shows without `library`


class _Envelope(Struct):
    accounts: list[Raw] | None = None
    env_id: Any = None  # Any: foreign JSON
    library: Any = None


_envelopes = msgspec.json.Decoder(_Envelope)


def parse_add_account_properties(arrival: Arrival) -> list[Draft | Refused]:
    """One result per account, in order; nothing here raises."""
    try:
        envelope, accounts = open_batch(arrival.body, _envelopes, "accounts")
        if envelope.accounts is None and not accounts:
            accounts = [arrival.body]
        if not accounts:
            raise Rejected(Reason.EMPTY_BATCH, "accounts: holds nothing; send at least one")
    except Rejected as rejected:
        return [refused(arrival, rejected, arrival.body, name=NAME)]
    library = safe_text(envelope.library[:LONGEST_ID]) if isinstance(envelope.library, str) else ""
    parsed = [_one(arrival, account, library) for account in accounts[:MOST_ACCOUNTS]]
    excess = Rejected(Reason.TOO_MANY_EVENTS, f"accounts: one request carries {MOST_ACCOUNTS} at most")
    return parsed + [refused(arrival, excess, account, name=NAME) for account in accounts[MOST_ACCOUNTS:]]


def first_app_id(body: bytes) -> str:
    """The environment that a capture client names; empty when it names none. Raises Rejected: it is unreadable."""
    envelope, accounts = open_batch(body, _envelopes, "accounts")
    if len(accounts) > MOST_ACCOUNTS:
        raise Rejected(Reason.TOO_MANY_EVENTS, f"accounts: one request carries {MOST_ACCOUNTS} at most")
    return str(envelope.env_id) if isinstance(envelope.env_id, str | int) else ""


def _one(arrival: Arrival, account: Raw | bytes, library: str) -> Draft | Refused:
    try:
        return _draft(arrival, read_object(account), library)
    except Rejected as rejected:
        return refused(arrival, rejected, account, name=NAME)


def _draft(arrival: Arrival, item: dict[str, Json], library: str) -> Draft:
    account_id, user_id, user_agent = _named(item), 0, ""
    if not account_id:
        check_environment(str(item.get("env_id") or ""), arrival.extra.get("app_id", ""))
        user_id, user_agent = _user_of(item), arrival.user_agent
    return Draft(
        arrival.environment_id,
        Kind.ACCOUNT,
        NAME,
        arrival.received_ms,
        arrival.received_ms,
        user_id=user_id,
        account_id=account_id,
        properties=_properties(item),
        source=arrival.source,
        library=library or ("" if user_id else _SERVER),
        user_agent=user_agent,
    )


def _named(item: dict[str, Json]) -> str:
    """The account's id; empty when the user's property names it. A number is read as its digits. Raises Rejected."""
    named = item.get("account_id")
    if named is None or named == "":
        return ""
    if isinstance(named, bool) or not isinstance(named, str | int):
        raise Rejected(Reason.ID_NOT_STRING, "account_id: must be text")
    return check_identity(str(named), "account_id", is_zero_allowed=True)


def _user_of(item: dict[str, Json]) -> int:
    named = item.get("user_id")
    if not isinstance(named, str | int) or isinstance(named, bool):
        raise Rejected(Reason.NO_ACCOUNT, "account_id: is missing; send the account the properties belong to")
    return user_id_of(named)


def _properties(item: dict[str, Json]) -> dict[str, Scalar]:
    properties = item.get("properties")
    if properties is None:
        return {}
    if not isinstance(properties, dict):
        raise Rejected(Reason.PROPERTIES_NOT_OBJECT, "properties: must be an object")
    return {key: value for key, value in joined_scalars(properties).items() if key.lower() not in _RESERVED}

"""Account properties: Heap groups users into accounts, Cairn does not yet. They are answered, shown and left out.

Source: contracts/heap.md sections 2.5 and 2.7.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from cairn.event import Arrival, Draft, Refused
from cairn.outcomes import Reason
from cairn.wire.mending import read_object
from cairn.wire.reading import open_batch
from cairn.wire.refusal import Unfit, refused

_NAME = "Set account properties"


class _Envelope(Struct):
    accounts: list[Raw] | None = None
    env_id: Any = None  # Any: foreign JSON


_envelopes = msgspec.json.Decoder(_Envelope)


def parse_add_account_properties(arrival: Arrival) -> list[Draft | Refused]:
    """One refusal per account, so that people see what was sent and why it is not used."""
    try:
        envelope, accounts = open_batch(arrival.body, _envelopes, "accounts")
    except Unfit as unfit:
        return [refused(arrival, unfit, arrival.body, name=_NAME)]
    if envelope.accounts is None and not accounts:
        accounts = [arrival.body]
    if not accounts:
        empty = Unfit(Reason.EMPTY_BATCH, "accounts: holds nothing; send at least one")
        return [refused(arrival, empty, arrival.body, name=_NAME)]
    return [_one(arrival, account) for account in accounts]


def first_app_id(body: bytes) -> str:
    """The environment that a capture client names; empty when it names none. Raises Unfit: it is unreadable."""
    envelope, _ = open_batch(body, _envelopes, "accounts")
    return str(envelope.env_id) if isinstance(envelope.env_id, str | int) else ""


def _one(arrival: Arrival, account: Raw | bytes) -> Refused:
    user = ""
    try:
        given = read_object(account)
        named = given.get("account_id") or given.get("identity") or given.get("user_id")
        user = str(named) if isinstance(named, str | int) else ""
        unfit = Unfit(Reason.NO_ACCOUNTS, "account properties: Cairn keeps users, not accounts")
    except Unfit as error:
        unfit = error
    return refused(arrival, unfit, account, name=_NAME, user=user)

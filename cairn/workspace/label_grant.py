"""What lets the labeller on a customer's page speak for a member: signed, short-lived, for one environment.

Nothing is stored and nothing else is opened by it; the member's role is looked up anew at every use.
"""

import base64
import binascii
import hashlib
import hmac
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from cairn.clock import to_ms
from cairn.errors import NotSignedIn

LIFETIME = timedelta(minutes=30)
PURPOSE = "labeller"  # the key is for these grants alone
MAX_TOKEN = 2_000  # characters; an address and four numbers take a few hundred


class LabelGrant(Struct, frozen=True, array_like=True):
    workspace_id: int
    environment_id: int
    member_id: int
    until_ms: int
    home: str  # Cairn as the member reaches it, without a slash at the end; the page may load us by another name


class LabelLinkExpired(NotSignedIn):
    """A link to the labeller holds for half an hour, and as long as its member. Open a new one from Events."""

    code = "label_link_expired"


def sign_grant(key: bytes, grant: LabelGrant) -> str:
    """Shape: two parts of base64url with a dot between them, so it may stand in an address as it is."""
    body = _text(msgspec.json.encode(grant))
    return f"{body}.{_text(_signature(key, body))}"


def read_grant(key: bytes, token: str, now: datetime) -> LabelGrant:
    """Raises NotSignedIn for what we did not sign, LabelLinkExpired for what we signed too long ago."""
    body, _, signature = token.partition(".")
    try:
        signed = len(token) <= MAX_TOKEN and hmac.compare_digest(_bytes(signature), _signature(key, body))
        grant = msgspec.json.decode(_bytes(body), type=LabelGrant) if signed else None
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        grant = None
    if grant is None:
        raise NotSignedIn("the labeller's link is not one of ours; open it from Events in Cairn")
    if grant.until_ms <= to_ms(now):
        raise LabelLinkExpired("this link to the labeller is too old; open a new one from Events in Cairn")
    return grant


def _signature(key: bytes, body: str) -> bytes:
    return hmac.digest(key, body.encode(), hashlib.sha256)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)

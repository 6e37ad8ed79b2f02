"""How webhooks are signed: as Standard Webhooks says (standardwebhooks.com), which has ready libraries. Pure."""

import base64
import binascii
import hashlib
import hmac
from datetime import datetime

from cairn.errors import InvalidInput

PREFIX = "whsec_"
FEWEST_BYTES = 24


def signed(secret: str, message_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """The headers of a message; a repeat has the same id. Source: the Standard Webhooks specification 1.0."""
    seconds = str(int(now.timestamp()))
    content = b".".join((message_id.encode(), seconds.encode(), body))
    digest = hmac.digest(key_of(secret), content, hashlib.sha256)
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": seconds,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def key_of(secret: str) -> bytes:
    """Raises InvalidInput."""
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(
            f"secret: a Standard Webhooks secret is {PREFIX} and base64", field="secret"
        ) from error


def check_secret(secret: str) -> None:
    """Raises InvalidInput."""
    if len(key_of(secret)) < FEWEST_BYTES:
        raise InvalidInput(f"secret: it has fewer than {FEWEST_BYTES} bytes", field="secret")

"""Telling any server: a webhook signed as Standard Webhooks says (standardwebhooks.com), which has ready libraries."""

import base64
import binascii
import hashlib
import hmac
from datetime import datetime
from typing import Any

import msgspec

from cairn.clock import Clock
from cairn.errors import InvalidInput
from cairn.http_client import Call, Session
from cairn.sync.deliver.answer import check_accepted
from cairn.sync.deliver.page import Deliver, Page
from cairn.sync.targets import Target

EVENT = "segment.members.changed"
_PREFIX = "whsec_"
_encode = msgspec.json.Encoder().encode


def deliver_to_webhook(target: Target, secret: str, session: Session, clock: Clock) -> Deliver:
    def deliver(page: Page) -> None:
        body = _encode(body_of(page))
        now = clock()
        headers = signed(secret, f"{page.task_id}.{page.number}", now, body)
        check_accepted(session.send(Call("POST", target.settings["url"], headers, body)), now)

    return deliver


def body_of(page: Page) -> dict[str, Any]:  # Any: a JSON document
    return {
        "type": EVENT,
        "data": {
            "environment": {"id": page.environment_id, "name": page.environment_name},
            "segment": {"id": page.segment_id, "key": page.segment_key, "name": page.segment_name},
            "task": {"id": page.task_id, "page": page.number, "pages": page.total},
            "add": page.add,
            "remove": page.remove,
        },
    }


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
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(
            f"secret: a Standard Webhooks secret is {_PREFIX} and base64; leave it empty to have one made",
            field="secret",
        ) from error

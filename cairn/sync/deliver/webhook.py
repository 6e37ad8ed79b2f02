"""Telling any server: a signed webhook."""

from typing import Any

import msgspec

from cairn.clock import Clock
from cairn.http_client import Call, Session
from cairn.signing.webhook import signed
from cairn.sync.deliver.answer import check_accepted
from cairn.sync.deliver.page import Deliver, Page
from cairn.sync.targets import Target

EVENT = "segment.members.changed"
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

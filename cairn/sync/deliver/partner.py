"""Telling a partner app, as Heap does. Source: contracts/heap.md section 12."""

from typing import Any

import msgspec

from cairn.clock import Clock, to_ms
from cairn.http_client import Call, Session
from cairn.sync.deliver.answer import check_accepted
from cairn.sync.deliver.page import Deliver, Page
from cairn.sync.signature import HEADER, sign
from cairn.sync.targets import Target

ACTION = "segment.users.sync"
_encode = msgspec.json.Encoder().encode


def deliver_to_partner(target: Target, secret: str, session: Session, clock: Clock) -> Deliver:
    def deliver(page: Page) -> None:
        body = _encode(body_of(page, target.id_token))
        now = clock()
        headers = {"content-type": "application/json", HEADER: sign(secret, to_ms(now), body)}
        check_accepted(session.send(Call("POST", target.webhook_url, headers, body)), now)

    return deliver


def body_of(page: Page, id_token: str) -> dict[str, Any]:  # Any: a JSON document
    workspace = {"id": str(page.environment_id), "display_name": page.environment_name}
    return {
        "id_token": id_token,
        "action_type": ACTION,
        "customer_config": {
            "fields": [
                {
                    "field_id": "workspace",
                    "field_display_name": "Workspace",
                    "field_type": "identity_mapping",
                    "value": workspace,
                }
            ]
        },
        "data": {
            "segment": {"id": page.segment_id, "name": page.segment_name},
            "sync_info": {
                "page_number": page.number,
                "total_pages": page.total,
                "sync_task_id": page.task_id,
            },
            "add": [{"id": value} for value in page.add],
            "remove": [{"id": value} for value in page.remove],
        },
    }

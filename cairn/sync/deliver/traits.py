"""Telling a Segment-compatible server: each member gets an `identify` call with a trait that says whether it is in.

Source: contracts/segment.md (POST /v1/batch, write key as the user of basic authentication).
"""

import base64
from collections.abc import Iterator
from typing import Any

import msgspec

from cairn.clock import Clock
from cairn.http_client import Call, Secret, Session, read_url
from cairn.sync.deliver.answer import check_accepted
from cairn.sync.deliver.page import Deliver, Page
from cairn.sync.targets import Target

_BATCH_BYTES = 400_000  # the API takes 500 KB
_encode = msgspec.json.Encoder().encode


def deliver_as_traits(target: Target, secret: str, session: Session, clock: Clock) -> Deliver:
    url = target.settings["url"].rstrip("/") + "/v1/batch"
    authorization = f"Basic {base64.b64encode(f'{secret}:'.encode()).decode()}"

    def deliver(page: Page) -> None:
        now = clock()
        for batch in _batches(page, target.settings.get("trait") or page.segment_key):
            body = b'{"batch":[' + b",".join(batch) + b'],"sentAt":' + _encode(now) + b"}"
            call = Call(
                "POST",
                url,
                {"content-type": "application/json"},
                body,
                secret=Secret(read_url(url).host, {"authorization": authorization}),
            )
            check_accepted(session.send(call), now)

    return deliver


def _batches(page: Page, trait: str) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for number, (value, is_in) in enumerate(
        [*((value, False) for value in page.remove), *((value, True) for value in page.add)]
    ):
        call = _encode(_call(page, number, value, trait, is_in=is_in))
        if size + len(call) > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(call)
        size += len(call) + 1
    if batch:
        yield batch


def _call(
    page: Page, number: int, value: str, trait: str, *, is_in: bool
) -> dict[str, Any]:  # Any: a JSON document
    return {
        "type": "identify",
        "messageId": f"{page.task_id}-{page.number}-{number}",  # the same for a repeat, which is one call then
        "userId": value,
        "traits": {trait: is_in},
    }

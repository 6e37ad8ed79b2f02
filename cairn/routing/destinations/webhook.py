"""Any server: messages as they are, in requests signed as Standard Webhooks says."""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from cairn.errors import InvalidInput
from cairn.http_client import Call
from cairn.routing.destination import Batch, Configuration, Destination, Request, Setting
from cairn.routing.header_templates import headers_of, problem_of
from cairn.routing.message import Message
from cairn.routing.payload import json_bytes, with_secret
from cairn.signing.webhook import FEWEST_BYTES, check_secret, signed
from cairn.wire.times import iso_text

_MOST_MESSAGES = 100
_MOST_BYTES = 1_000_000
_LONGEST_ID = 100  # characters of a `webhook-id`

_SETTINGS = (
    Setting("url", "Address", "Where requests are posted to.", kind="url", is_required=True),
    Setting(
        "secret",
        "Signing secret",
        f"whsec_ and the base64 of {FEWEST_BYTES} random bytes or more. The receiver checks signatures with it.",
        kind="secret",
        is_required=True,
    ),
    Setting(
        "batch",
        "Messages a request",
        f"1 posts each message by itself; 2 to {_MOST_MESSAGES} post arrays of so many at most.",
        kind="number",
        default=1,
    ),
    Setting(
        "headers",
        "Headers",
        "One a line, as X-Event: {{event}}. Also {{userId}}, {{messageId}}, {{properties.plan}} and any other path.",
        kind="lines",
    ),
    Setting(
        "authorization",
        "Authorization",
        "The value of an Authorization header, where the receiver wants one: Bearer and a token, say.",
        kind="secret",
    ),
)


def _prepare(messages: Sequence[Message], configuration: Configuration, now: datetime) -> list[Request]:
    return [
        _request(chunk, headers, configuration, now) for chunk, headers in _chunks(messages, configuration)
    ]


def _chunks(
    messages: Sequence[Message], configuration: Configuration
) -> Iterator[tuple[list[Message], dict[str, str]]]:
    """Neighbours with the same headers, up to the setting's number."""
    lines, most = configuration.settings["headers"] or (), _batch_size(configuration)
    chunk: list[Message] = []
    common: dict[str, str] = {}
    for message in messages:
        headers = headers_of(lines, message.body)
        if chunk and (len(chunk) == most or headers != common):
            yield chunk, common
            chunk = []
        chunk.append(message)
        common = headers
    if chunk:
        yield chunk, common


def _request(
    chunk: list[Message], headers: dict[str, str], configuration: Configuration, now: datetime
) -> Request:
    bodies = [message.body for message in chunk]
    body = json_bytes(bodies[0] if _batch_size(configuration) == 1 else bodies)
    call = _signed_call(body, _id_of(chunk), headers, configuration, now)
    return Request(call, tuple(message.position for message in chunk))


def _id_of(chunk: list[Message]) -> str:
    """The same for a repeat of the same messages; a message by itself has its own."""
    ids = [message.message_id for message in chunk]
    is_plain = ids[0].isascii() and ids[0].isprintable() and 0 < len(ids[0].strip()) <= _LONGEST_ID
    if len(ids) == 1 and is_plain:
        return ids[0].strip()
    joined = "\n".join(ids).encode("utf-8", "replace")
    return f"batch-{hashlib.sha256(joined).hexdigest()[:32]}"


def _signed_call(
    body: bytes, message_id: str, headers: dict[str, str], configuration: Configuration, now: datetime
) -> Call:
    signature = signed(configuration.secrets["secret"], message_id, now, body)
    call = Call("POST", configuration.settings["url"], {**headers, **signature}, body)
    if authorization := configuration.secrets.get("authorization"):
        return with_secret(call, {"authorization": authorization})
    return call


def _batch_size(configuration: Configuration) -> int:
    size: int = configuration.settings["batch"] or 1
    return size


def _check(configuration: Configuration) -> dict[str, str]:
    problems = {}
    size: Any = configuration.settings["batch"]
    if size not in (None, "") and not (isinstance(size, int) and 1 <= size <= _MOST_MESSAGES):
        problems["batch"] = f"expected 1 to {_MOST_MESSAGES}"
    if problem := problem_of(configuration.settings["headers"] or ()):
        problems["headers"] = problem
    try:
        check_secret(configuration.secrets.get("secret", ""))
    except InvalidInput as error:
        problems["secret"] = str(error).removeprefix("secret: ")
    authorization = configuration.secrets.get("authorization", "")
    if not (authorization.isascii() and authorization.isprintable()):
        problems["authorization"] = "expected one line of ASCII characters"
    return problems


def _trial(configuration: Configuration, now: datetime) -> Request:
    """A message that nobody can take for a user's."""
    message_id = f"cairn-connection-test-{int(now.timestamp())}"
    body = {
        "type": "track",
        "event": "Connection tested",
        "messageId": message_id,
        "timestamp": iso_text(int(now.timestamp() * 1_000)),
    }
    document = json_bytes(body if _batch_size(configuration) == 1 else [body])
    return Request(_signed_call(document, message_id, {}, configuration, now), ())


DESTINATION = Destination(
    slug="webhook",
    name="Webhook",
    summary="Posts calls of every type to an address of yours, signed, one by one or in batches.",
    settings=_SETTINGS,
    prepare=_prepare,
    batch=Batch(_MOST_MESSAGES, _MOST_BYTES),
    batch_size=_batch_size,
    check=_check,
    trial=_trial,
)

"""What Heap's segment webhook says. Pure.

Source: contracts/heap.md section 12. A webhook is one page of a task; a task is what changed in a segment since the
last one. `segment.users.drain`, which empties a segment, left Heap's specification in 2022 and is still sent.
"""

import re
import unicodedata
from hashlib import blake2b
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from cairn.errors import CairnError

MOST_IDS = 10_000  # of `add` and of `remove`; Heap's pages have 1,000
MOST_PAGES = 100_000
LONGEST_NAME = 100  # characters of a segment's name that are shown
SYNC, DRAIN = "sync", "drain"
# Where the body is not read, because it is too long or broken, it may still say whose it is.
_ID_TOKEN = re.compile(rb'"id_token"\s*:\s*"([!-~]{1,64})"')
_TASK_ID = re.compile(r"[!-~]{1,128}")


class WebhookMalformed(CairnError):
    """The body of a segment webhook is not what Heap's Segment Sync API describes. The message names the field."""

    code = "webhook_malformed"
    status = 400


class _Id(Struct, frozen=True):
    id: Annotated[str, Meta(min_length=1, max_length=1000)]


_Ids = Annotated[list[_Id], Meta(max_length=MOST_IDS)] | None


class _Segment(Struct, frozen=True):
    id: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | Annotated[str, Meta(min_length=1, max_length=64)]
    name: Annotated[str, Meta(max_length=10_000)] = ""


class _SyncInfo(Struct, frozen=True):
    page_number: int
    total_pages: int
    sync_task_id: str


class _Data(Struct, frozen=True):
    segment: _Segment
    sync_info: _SyncInfo | None = None
    add: _Ids = None
    remove: _Ids = None


class _Body(Struct, frozen=True):
    data: _Data
    action_type: Literal["segment.users.sync", "segment.users.drain"]


class _Envelope(Struct, frozen=True):
    id_token: Annotated[str, Meta(max_length=64)]


class About(Struct, frozen=True):
    """What a webhook is about, as far as it can be read."""

    segment_id: str = ""
    task_id: str = ""


class Page(Struct, frozen=True):
    """One page of a task."""

    segment_id: str
    segment_name: str
    action: str  # sync, drain
    task_id: str
    number: int
    total: int
    add: list[str]
    remove: list[str]

    @property
    def digest(self) -> str:
        """The same for the same members, however they were written."""
        return blake2b(msgspec.json.encode((self.add, self.remove)), digest_size=32).hexdigest()


def id_token_of(body: bytes) -> str:
    """Whose webhook it says it is; empty: it does not say."""
    try:
        return msgspec.json.decode(body, type=_Envelope).id_token
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        match = _ID_TOKEN.search(body)
        return match[1].decode() if match else ""


def about(body: bytes) -> About:
    """Of a body that may not be accepted; for the history."""
    try:
        read: Any = msgspec.json.decode(body)  # Any: whatever was sent
        data = read["data"]
        segment_id, task_id = data["segment"]["id"], data.get("sync_info", {}).get("sync_task_id", "")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, TypeError, AttributeError):
        return About()
    is_task = isinstance(task_id, str) and bool(_TASK_ID.fullmatch(task_id))
    return About(str(segment_id)[:64], task_id if is_task else "")


def read_page(body: bytes, *, signature: str) -> Page:
    """`signature`: distinguishes drains without a task. Raises WebhookMalformed."""
    try:
        read = msgspec.json.decode(body, type=_Body)
    except msgspec.ValidationError as error:
        raise WebhookMalformed(_in_words(str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WebhookMalformed("the body is not JSON in UTF-8") from error
    data, action = read.data, read.action_type.rpartition(".")[2]
    info = data.sync_info
    if info is None:
        if action != DRAIN:
            raise WebhookMalformed("data.sync_info: it is missing")
        info = _SyncInfo(1, 1, f"drain-{blake2b(signature.encode(), digest_size=16).hexdigest()}")
    _check(info)
    add, remove = ([user.id for user in ids or ()] for ids in (data.add, data.remove))
    name = shown_name(data.segment.name, data.segment.id)
    return Page(
        str(data.segment.id), name, action, info.sync_task_id, info.page_number, info.total_pages, add, remove
    )


def _check(info: _SyncInfo) -> None:
    if not _TASK_ID.fullmatch(info.sync_task_id):
        raise WebhookMalformed(
            "data.sync_info.sync_task_id: expected 1 to 128 letters, digits and signs, without spaces"
        )
    if not 1 <= info.total_pages <= MOST_PAGES:
        raise WebhookMalformed(f"data.sync_info.total_pages: expected 1 to {MOST_PAGES}")
    if not 1 <= info.page_number <= info.total_pages:
        raise WebhookMalformed(
            f"data.sync_info.page_number: expected 1 to {info.total_pages}, its total_pages"
        )


def shown_name(name: str, segment_id: int | str) -> str:
    """On one line, and not longer than pages show."""
    text = "".join(
        " " if unicodedata.category(character)[0] in "CZ" else character
        for character in name[: 2 * LONGEST_NAME]
    )
    return " ".join(text.split())[:LONGEST_NAME] or f"Segment {segment_id}"


def _in_words(text: str) -> str:
    """msgspec names the field last: `Expected … - at `$.data.add[3].id``."""
    what, _, path = text.partition(" - at `$.")
    return f"{path.rstrip('`')}: {what}" if path else what

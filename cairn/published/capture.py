"""What an environment lets be captured and kept: `capture/<environment>`, JSON.

The browser script gets the document as it is (its serverConfig, section 4.2 of contracts/heap.md); the loader reads
of it what it needs to judge events itself, because clients can be old, or be none of ours.
"""

from typing import Any

import msgspec
from msgspec import Struct


class Pages(Struct, frozen=True):
    mode: str = "all"  # all, block, allow
    pages: tuple[str, ...] = ()


class Controls(Struct, frozen=True):
    """What the loader reads of the document."""

    keep_ip: bool = False
    capture: Pages = Pages()


_controls = msgspec.json.Decoder(Controls)
_whole = msgspec.json.Decoder(dict[str, Any])  # Any: the script's own configuration


def document_name(environment_id: int) -> str:
    return f"capture/{environment_id}"


def encode(configuration: dict[str, Any]) -> bytes:  # Any: as above
    """The same configuration gives the same bytes."""
    return msgspec.json.encode(configuration)


def decode_controls(document: bytes) -> Controls:
    """Raises ValueError for what is no such document."""
    return _controls.decode(document)


def decode(document: bytes) -> dict[str, Any]:  # Any: as above
    """Raises ValueError for what is no JSON object."""
    return _whole.decode(document)

"""What a destination is: one module each in `routing/destinations/`, found by being there (catalogue.py).

Everything a destination decides is pure: messages and a configuration in, requests out. Sending, retries and order are
delivery's business and the same for all.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from cairn.http_client import Answer, Call
from cairn.routing.message import Message

SettingKind = Literal["text", "url", "number", "switch", "choice", "lines", "secret"]


class Setting(Struct, frozen=True):
    """One field of a connection's form."""

    key: str
    label: str
    help: str
    kind: SettingKind = "text"
    is_required: bool = False
    default: Any = ""  # Any: by its kind
    choices: tuple[tuple[str, str], ...] = ()  # value and label, of kind "choice"


class Configuration(Struct, frozen=True):
    """A connection's settings as its destination reads them."""

    settings: dict[str, Any]  # Any: by each setting's kind; every key of the destination is there
    secrets: dict[str, str] = {}  # of kind "secret", opened


class Preset(Struct, frozen=True):
    """How messages of some kinds fill the fields of a destination, until a connection maps them otherwise."""

    name: str
    kinds: frozenset[str]
    mapping: dict[str, Any]  # Any: by field a value or a directive (routing/directives.py)
    # Fields that are filled only when a connection maps them.
    more: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        return (*self.mapping, *self.more)


class Request(Struct, frozen=True):
    """One call to the destination, and the messages it delivers.

    A message may need several: they are sent in their order, each after the answer to the one before, and it is
    delivered when all of its requests are.
    """

    call: Call
    positions: tuple[int, ...]  # of the messages, in their order


class NotForDestination(Exception):
    """A message gives no request, and never will. `reason`: a member of routing.outcome.Discard."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class Verdict(Struct, frozen=True):
    """What a destination's answer means for the messages of a request."""

    is_delivered: bool = False
    is_final: bool = False  # not delivered, and to send it again would not help
    detail: str = ""
    retry_after_s: float | None = None


class Batch(Struct, frozen=True):
    """How many messages one request may carry."""

    most_messages: int
    most_bytes: int  # of their bodies as JSON


# Requests for messages that were decided to be for this destination, at most a batch of them, in their order.
# A message that cannot be sent raises NotForDestination: delivery then asks again for each of them alone.
Prepare = Callable[[Sequence[Message], Configuration, datetime], list[Request]]
# The address of a host and port, checked as every call's is. Raises CallRefused and CallFailed. Last: whether what is
# sent there is encrypted; secrets go unencrypted only where an operator allows it. It waits for the system's resolver,
# so an event loop asks it in a thread.
Locate = Callable[[str, int, bool], str]
# Sends a batch by itself, at most `batch` messages, in their order. Raises nothing but NotForDestination, as Prepare
# does. Cancelled, it leaves nothing half done.
Send = Callable[[Sequence[Message], Configuration, Locate], Awaitable[Verdict]]
# Of the answer to a request that got one. None of a destination's own: routing.answer.judge.
Judge = Callable[[Answer, datetime], Verdict]
# What is wrong with settings, by their keys; empty: nothing.
Check = Callable[[Configuration], dict[str, str]]
# One harmless request that shows whether settings are right; its answer goes to the destination's judge.
Trial = Callable[[Configuration, datetime], Request]


class Destination(Struct, frozen=True):
    slug: str  # stored with connections; never changes
    name: str
    summary: str  # one sentence for the catalogue
    settings: tuple[Setting, ...]
    prepare: Prepare
    integration: str = ""  # its name in `integrations` objects, where it differs from `name`
    kinds: frozenset[str] = frozenset(("track", "identify", "page", "screen", "group", "alias"))
    presets: tuple[Preset, ...] = ()
    batch: Batch | None = None  # None: one message a request
    # Messages a request of a connection carries at most, where its settings say so; 1: as without `batch`.
    batch_size: Callable[[Configuration], int] | None = None
    judge: Judge | None = None
    check: Check | None = None
    trial: Trial | None = None
    # For what is no HTTP call: used instead of `prepare`. With no messages it tries the connection.
    send: Send | None = None
    can_be_replayed: bool = True
    # `All: false` in an integrations object does not concern raw storage; only its own name does.
    is_storage: bool = False
    # Requests that delete users there, by their ids; none: its settings do not permit it. None: it cannot.
    forget: Callable[[Sequence[str], Configuration, datetime], list[Request]] | None = None

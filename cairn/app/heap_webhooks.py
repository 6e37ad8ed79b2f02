"""What comes of a segment webhook: its signature is checked, its page kept, and its task applied once it is whole."""

from collections.abc import Sequence
from datetime import datetime

from cairn.app.core import Core
from cairn.clock import to_ms
from cairn.errors import CairnError, NotAllowed, Unavailable
from cairn.sync import receiver
from cairn.sync.heap_connection import HeapConnection, connection_by_id_token
from cairn.sync.receiver import TaskState
from cairn.sync.signature import is_signed
from cairn.sync.webhook import About, Page, about, id_token_of, read_page


class InvalidSignature(NotAllowed):
    """A segment webhook does not prove that the Heap account sent it, and within the last minute.

    Its `Heap-Hash` is made with the webhook secret over the raw body, and its `id_token` names a connected account.
    """

    code = "invalid_signature"

    def __init__(self) -> None:
        super().__init__("Invalid signature")


class SegmentsSwitchedOff(NotAllowed):
    """The workspace does not use segments of its Heap account: "Enable use of Heap segment" is off on its page."""

    code = "segments_switched_off"

    def __init__(self) -> None:
        super().__init__(
            "this workspace does not use Heap segments; switch it on at Integrations > Heap in Cairn"
        )


def receive(core: Core, *, header: str, body: bytes, raw: Sequence[bytes], now: datetime) -> None:
    """Take one webhook. After it returns, its page survives any crash.

    `raw`: the bytes that may be the signed ones. Raises InvalidSignature and what else is wrong with it.
    """
    account = _account_of(core, body)
    secret = core.seal.open(account.webhook_secret_sealed) if account.webhook_secret_sealed else ""
    is_authentic = False
    try:
        if not secret or not any(is_signed(secret, header, signed, to_ms(now)) for signed in raw):
            raise InvalidSignature
        if not account.targets_visitors:
            raise SegmentsSwitchedOff
        is_authentic = True
        _take(core, account, read_page(body, signature=header), now)
    except Unavailable:
        raise
    except CairnError as error:
        _note(core, account, about(body) if is_authentic else About(), error, now)
        raise


def refuse(core: Core, body: bytes, error: CairnError, now: datetime) -> None:
    """Keep in the history that a body was not even read. `body`: as far as it is known."""
    try:
        _note(core, _account_of(core, body), About(), error, now)
    except InvalidSignature:
        return  # nobody's


def _account_of(core: Core, body: bytes) -> HeapConnection:
    """Raises InvalidSignature."""
    with core.reading() as connection:
        account = connection_by_id_token(connection, id_token_of(body))
    if account is None:
        raise InvalidSignature
    return account


def _take(core: Core, account: HeapConnection, page: Page, now: datetime) -> None:
    with core.reading() as connection:
        task = receiver.find_task(connection, account, page)
    if task is None:
        with core.writing() as connection:
            task = receiver.register(connection, account, page, now)
    if not receiver.is_repeat(core.members, task, page):
        receiver.keep(core.members, task, page, to_ms(now))
    # Also at a repeat: this process may have been killed between keeping the last page and saying so.
    if task.state == TaskState.RECEIVING and receiver.pages_kept(core.members, task) >= task.pages:
        with core.writing() as connection:
            receiver.complete(connection, core.members, task, now)
        core.received()


def _note(core: Core, account: HeapConnection, about: About, error: CairnError, now: datetime) -> None:
    with core.writing() as connection:
        receiver.note_refusal(connection, account, about, error, now)

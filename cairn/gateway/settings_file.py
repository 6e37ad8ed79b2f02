"""The settings files the gateway serves, held in memory and read again when something was published.

A document that cannot be read or is not a settings file never replaces one that was: SDKs whose first settings are
bad stay off until their process restarts (contracts/wingify.md 4).
"""

import gzip
import logging
import threading

import msgspec
from msgspec import Struct

from cairn.members.sets import Published
from cairn.published.settings_file import document_name

logger = logging.getLogger(__name__)

PYTHON_SDKS = ("vwo-fme-python-sdk", "wingify-fme-python-sdk")  # they cannot ask list checks (5.4)
MOST_READY = 1_000  # answers kept ready to send, over all keys
GZIP_LEVEL = 5  # 9 is 3 times slower for 2 % less on a settings file


class _Shape(Struct):
    """What every SDK demands of a settings file at its root (contracts/wingify.md 6.4)."""

    version: int | str
    accountId: int | str
    sdkKey: str
    features: list[msgspec.Raw] | dict[str, msgspec.Raw]
    campaigns: list[msgspec.Raw] | dict[str, msgspec.Raw]


def document_for(environment_id: int, sdk_name: str) -> str:
    """The name of the document that an SDK gets."""
    return document_name(environment_id, "python" if is_python(sdk_name) else "node")


def is_python(sdk_name: str) -> bool:
    return sdk_name in PYTHON_SDKS


def empty_document(account_id: int, poll_interval_ms: int) -> bytes:
    """A valid settings file without flags: what an environment has before anything is published."""
    return msgspec.json.encode(
        {
            "version": 1,
            "accountId": account_id,
            "sdkKey": "",
            "pollInterval": poll_interval_ms,
            "features": [],
            "campaigns": [],
        }
    )


class SettingsFiles:
    """Safe to use from several threads."""

    def __init__(self, published: Published, *, poll_interval_ms: int) -> None:
        self._published = published
        self._poll_interval_ms = poll_interval_ms
        self._lock = threading.Lock()
        self._seen: dict[str, int] = {}  # the change count at which a document was last read
        self._good: dict[str, bytes] = {}  # the last good bytes of each document
        self._ready: dict[tuple[str, str, bool], bytes] = {}  # by name, key and whether compressed
        self.refused = 0  # published documents that were not settings files

    def file(self, name: str, sdk_key: str, account_id: int, *, compressed: bool) -> bytes:
        """The document under a name with the caller's key in it; an empty one when nothing was published.

        Raises Unavailable when the store cannot be read.
        """
        with self._lock:
            self._read_again(name)
            ready = self._ready.get((name, sdk_key, compressed))
            if ready is None:
                good = self._good.get(name) or empty_document(account_id, self._poll_interval_ms)
                ready = _for_caller(good, sdk_key)
                if compressed:
                    ready = gzip.compress(ready, GZIP_LEVEL, mtime=0)
                if len(self._ready) >= MOST_READY:
                    self._ready.clear()
                self._ready[name, sdk_key, compressed] = ready
            return ready

    def held(self, name: str, sdk_key: str, *, compressed: bool) -> bytes | None:
        """What was last served, without looking at the store or waiting for anyone who does."""
        return self._ready.get((name, sdk_key, compressed))

    def _read_again(self, name: str) -> None:
        changes = self._published.changes()
        if self._seen.get(name) == changes:
            return
        document = self._published.document(name)
        if document is not None and not _is_settings_file(document):
            self.refused += 1
            logger.error("settings_file_refused", extra={"document": name})
        elif document != self._good.get(name):
            self._replace(name, document)
        self._seen[name] = changes

    def _replace(self, name: str, document: bytes | None) -> None:
        if document is None:
            self._good.pop(name, None)
        else:
            self._good[name] = document
        self._ready = {key: value for key, value in self._ready.items() if key[0] != name}


def _for_caller(document: bytes, sdk_key: str) -> bytes:
    """A published document holds no secret; the caller's own key is put in where the root names it, nowhere else."""
    root = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
    root["sdkKey"] = msgspec.Raw(msgspec.json.encode(sdk_key))
    return msgspec.json.encode(root)


def _is_settings_file(document: bytes) -> bool:
    try:
        msgspec.json.decode(document, type=_Shape)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True

"""Secrets that must be shown again are sealed: encrypted with a key in its own file beside the data."""

import contextlib
import hashlib
import hmac
import os
import threading
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from cairn.errors import Misconfigured


class Seal:
    def __init__(self, key: bytes) -> None:
        self._fernet, self._key = Fernet(key), key

    def key_for(self, purpose: str) -> bytes:
        """A key of its own for signing one kind of thing, so that nothing signed for one purpose serves another."""
        return hmac.digest(self._key, purpose.encode(), hashlib.sha256)

    def close(self, secret: str) -> bytes:
        return self._fernet.encrypt(secret.encode())

    def open(self, sealed: bytes) -> str:
        """Raises Misconfigured when the key file is not the one the data was sealed with."""
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken as error:
            raise Misconfigured(
                "secret.key does not fit this data directory; restore the file that belongs to it"
            ) from error


def open_seal(data_dir: Path) -> Seal:
    """Read `secret.key`, or make it on the first start (readable by its owner only).

    Guarantee: of several processes starting at once all use the same key, and a crash leaves it whole or absent.
    Raises Misconfigured when the file does not hold a key.
    """
    path = data_dir / "secret.key"
    if not path.exists():
        _make_key(path)
    try:
        return Seal(path.read_bytes())
    except ValueError as error:
        raise Misconfigured(
            f"{path} does not hold a key; restore it from the backup of this data directory", field="data_dir"
        ) from error


def _make_key(path: Path) -> None:
    draft = path.with_name(f"secret.key.{os.getpid()}-{threading.get_ident()}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(Fernet.generate_key())
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):  # somebody else was first: theirs counts
        os.link(draft, path)
    draft.unlink()

"""Secrets that must be shown again are sealed: encrypted with a key in its own file beside the data."""

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from cairn.errors import Misconfigured


class Seal:
    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(key)

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
    """Read `secret.key`, or make it on the first start (readable by its owner only)."""
    path = data_dir / "secret.key"
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return Seal(path.read_bytes())
    key = Fernet.generate_key()
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return Seal(key)

"""What people may type as a name, a key or an e-mail address."""

import re
import unicodedata

from cairn.errors import InvalidInput

MAX_NAME = 100  # characters; longer ones break tables and mails
MAX_EMAIL = 254  # characters, RFC 5321's path limit
_UNSEEN = ("Cc", "Cs", "Co", "Zl", "Zp")  # controls, halves of characters, private use, separators of lines
_TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # make text look like another one
_KEY = re.compile(r"[a-z][a-z0-9_-]{0,49}")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)*")


def clean_name(text: str, *, field: str = "name") -> str:
    """A name to show: 1 to 100 characters on one line. Raises InvalidInput.

    Addresses are refused because names end up in mails and notifications, where they would become links.
    """
    name = unicodedata.normalize("NFC", text).strip()
    if not name or len(name) > MAX_NAME:
        raise InvalidInput(f"{field}: expected 1 to {MAX_NAME} characters, got {len(name)}", field=field)
    if any(unicodedata.category(character) in _UNSEEN or character in _TURNING for character in name):
        raise InvalidInput(
            f"{field}: control characters and line breaks are not accepted; use plain text", field=field
        )
    if "://" in name:
        raise InvalidInput(f"{field}: addresses are not accepted here; leave out '://'", field=field)
    return name


def clean_key(text: str, *, field: str = "key") -> str:
    """A stable name for programs. Raises InvalidInput."""
    if not _KEY.fullmatch(text):
        raise InvalidInput(
            f"{field}: expected a lower-case letter, then up to 49 lower-case letters, digits, '_' or '-'",
            field=field,
        )
    return text


def clean_email(text: str) -> str:
    """The address as stored and compared: trimmed, one Unicode form, lower case. Raises InvalidInput."""
    email = looked_up(text)
    if len(email) > MAX_EMAIL or not _EMAIL.fullmatch(email) or not email.isprintable():
        raise InvalidInput("email: expected one address like name@example.com", field="email")
    return email


def looked_up(email: str) -> str:
    """The spelling by which an address is found: full-width letters, capitals and spaces around make no other one."""
    return unicodedata.normalize("NFKC", email[: 4 * MAX_EMAIL]).strip().lower()

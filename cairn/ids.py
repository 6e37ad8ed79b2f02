"""How things are named: user ids, event ids, keys and tokens. Pure but for the random ones."""

import hashlib
import secrets
import struct
import uuid
from functools import lru_cache
from hashlib import blake2b, md5, sha1
from typing import Annotated

from msgspec import Meta

MAX_USER_ID = 2**53 - 1  # Heap's user, session and pageview ids; exact in a JavaScript number
_WORDS = struct.Struct("<I4xI4x").unpack
_UUID_MASK, _UUID_5 = 0xF << 76 | 0x3 << 62, 0x5 << 76 | 0x2 << 62  # version and variant
_WINGIFY = uuid.uuid5(uuid.NAMESPACE_URL, "https://vwo.com")
RowId = Annotated[int, Meta(ge=0, le=2**31 - 1)]  # what Cairn numbers itself, as JSON names it; 0: none


def identified_user_id(environment_id: int, identity: str) -> int:
    """The canonical user id of an identity.

    Shape: 1..2**53-1. Guarantee: depends on the two values only, so every process and every
    release names the same user. Source: contracts/heap.md section 7 (deterministic id from the identity).
    """
    digest = blake2b(f"{environment_id}/{identity}".encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big") % MAX_USER_ID + 1


def anonymous_user_id(anonymous_id: str) -> int:
    """The user id of a Segment anonymous id: low word and 21 high bits of its MD5.

    Source: contracts/heap.md section 2.7 (the mapping the earlier Segment destination used).
    """
    return _low_and_high(md5(anonymous_id.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest())


def _low_and_high(digest: bytes) -> int:
    low, high = _WORDS(digest)
    return int(low + ((high & 0x1FFFFF) << 32))


def visitor_uuid(user_id: str, account_id: int) -> str:
    """The only name by which a flag SDK's events call a user: 32 upper-case hexadecimal digits.

    Source: contracts/wingify.md section 8.3.
    """
    return _visitor_uuid(user_id, account_id).decode()


def visitor_id(user_id: str, account_id: int) -> int:
    """The raw user id under which a flag SDK's events about this user are stored while nobody knows whose they are."""
    return _low_and_high(md5(_visitor_uuid(user_id, account_id), usedforsecurity=False).digest())


def _visitor_uuid(user_id: str, account_id: int) -> bytes:
    """As `uuid.uuid5` in a third of the time: every new user of every environment is named."""
    digest = sha1(account_uuid(account_id) + user_id.encode("utf-8", "surrogatepass"), usedforsecurity=False)
    number = int.from_bytes(digest.digest()[:16], "big") & ~_UUID_MASK | _UUID_5
    return b"%032X" % number


@lru_cache(maxsize=1024)
def account_uuid(account_id: int) -> bytes:
    """The name space of an account's visitors."""
    return uuid.uuid5(_WINGIFY, str(account_id)).bytes


def event_id(key_space: str, key: str) -> int:
    """The stored id of an event: the same source and message id give the same event. 64 bits."""
    named = f"{key_space}\0{key}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(named, digest_size=8).digest(), "big")


def element_id(encoded: bytes) -> int:
    """The number of an element's shape, from its encoded fields. 64 bits, never 0."""
    return int.from_bytes(blake2b(encoded, digest_size=8).digest(), "big") or 1


def key_hash(key: str) -> str:
    """What is stored and looked up instead of a key or token. They are long and random, so a plain hash is enough."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def new_app_id() -> str:
    """A Heap environment id: ten digits, the first not zero."""
    return str(secrets.randbelow(9 * 10**9) + 10**9)


def new_sdk_key() -> str:
    """A flag SDK key: 32 hexadecimal digits."""
    return secrets.token_hex(16)


def new_write_key() -> str:
    return "wk_" + secrets.token_urlsafe(18).replace("-", "x").replace("_", "y")


def new_token(prefix: str) -> str:
    """A secret for a person or program; the prefix lets secret scanners recognise it."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def new_list_id() -> str:
    """An attribute list's id: unguessable, because a list check carries no other secret (contracts/wingify.md 5.3)."""
    return "l" + secrets.token_hex(12)

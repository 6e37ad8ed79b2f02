"""Files that browsers load, in the encodings they may ask for, with tags by which they ask again.

Built files come with their gzip and brotli twins; what is made for a request is compressed here where that gains.
"""

import gzip
import hashlib
import re
from functools import lru_cache
from pathlib import Path

from msgspec import Struct

from cairn.collect.answer import Answer, Headers
from cairn.collect.request import Request

JAVASCRIPT = (b"content-type", b"text/javascript; charset=utf-8")
FOREVER = "public, max-age=31536000, immutable"
_PACKET_BYTES = 1_400  # what one packet carries; to compress less gains nothing
_SENT_ALWAYS = (
    (b"vary", b"Accept-Encoding"),
    # Pages of any origin may load it, also under cross-origin isolation.
    (b"access-control-allow-origin", b"*"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"timing-allow-origin", b"*"),
    # Opened as a page of its own it is text, and can reach nothing of this origin.
    (b"content-security-policy", b"default-src 'none'; sandbox"),
)


class File(Struct, frozen=True):
    """One file in the encodings a browser may ask for."""

    etag: str
    bodies: dict[str, bytes]  # by content encoding; "" is plain


class Hashed(Struct):
    """A built file in its folder's manifest.json."""

    sha256: str


def read_file(path: Path, built: Hashed) -> File:
    """With its twins. Raises OSError."""
    endings = (("", ""), ("gzip", ".gz"), ("br", ".br"))
    bodies = {encoding: path.with_name(path.name + ending).read_bytes() for encoding, ending in endings}
    return File(etag=f'"{built.sha256[:20]}"', bodies=bodies)


def file_of_body(body: bytes) -> File:
    """What no build could compress ahead."""
    bodies = {"": body} if len(body) <= _PACKET_BYTES else {"": body, "gzip": _zipped(body)}
    return File(etag=f'"{hashlib.sha256(body).hexdigest()[:20]}"', bodies=bodies)


@lru_cache(256)
def _zipped(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


def comment(text: str, status: int) -> Answer:
    """For people who look at the page's network tab: a browser runs no script of another status."""
    return Answer(status, f"/* Cairn: {text} */".encode(), (JAVASCRIPT,))


def respond(
    file: File,
    request: Request,
    cache_control: str,
    *,
    content_type: tuple[bytes, bytes] = JAVASCRIPT,
    headers: Headers = _SENT_ALWAYS,
) -> Answer:
    accepted = _accepted_encodings(request.header(b"accept-encoding"))
    encoding = next((one for one in ("br", "gzip") if one in accepted and one in file.bodies), "")
    # One tag per encoding: caches must not answer one encoding's conditional request with another's body.
    etag = file.etag if not encoding else f'{file.etag[:-1]}-{encoding}"'
    sent: Headers = (*headers, (b"cache-control", cache_control.encode()), (b"etag", etag.encode()))
    known = [one.strip().removeprefix("W/") for one in request.header(b"if-none-match").split(",")]
    if etag in known or "*" in known:
        return Answer(304, b"", sent)
    if encoding:
        sent = (*sent, (b"content-encoding", encoding.encode()))
    return Answer(200, file.bodies[encoding], (*sent, content_type))


def _accepted_encodings(header: str) -> set[str]:
    """The encodings a browser accepts; one with q=0 is refused."""
    accepted = set()
    for part in header.lower().split(","):
        name, _, parameters = part.partition(";")
        if not re.search(r"q\s*=\s*0(\.0*)?\s*$", parameters):
            accepted.add(name.strip())
    return accepted

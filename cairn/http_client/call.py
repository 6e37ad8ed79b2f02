"""A call and its answer, and every decision about them that needs no network."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import httpcore2
import httpx2
from msgspec import Struct, field

from cairn import __version__
from cairn.errors import Unavailable

_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_BECOMES_GET = frozenset((301, 302, 303))
_SENDS_BODY = frozenset(("POST", "PUT", "PATCH"))


class CallRefused(Unavailable):
    """The call was not made, or not carried on: where it leads is not allowed."""

    code = "call_refused"


class CallFailed(Unavailable):
    """The other side did not answer as a server should, in time and within the size limit."""

    code = "call_failed"


class Secret(Struct, frozen=True):
    """Headers for one host alone. No other host ever sees them, whatever redirects say."""

    host: str
    headers: dict[str, str]


class Call(Struct, frozen=True):
    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    secret: Secret | None = None
    redirects: int = 0  # how many are followed


class Answer(Struct, frozen=True):
    status: int
    headers: dict[str, str]
    body: bytes
    url: str  # after redirects
    is_cut: bool = False  # there was more of the body than the client takes


class Url(Struct, frozen=True):
    """An address as a call takes it apart."""

    scheme: str
    host: str  # as `Secret` names it
    netloc: str  # as the Host header has it
    path: str  # with its query, as it is sent
    names_user: bool


def read_url(text: str) -> Url:
    """Raises CallRefused for what is no address."""
    url = parsed(text)
    return Url(url.scheme, url.host, url.netloc.decode(), url.raw_path.decode(), bool(url.userinfo))


def parsed(text: str) -> httpx2.URL:
    try:
        return httpx2.URL(text)
    except (httpx2.InvalidURL, ValueError) as error:
        raise CallRefused(f"url: {text[:200]!r} is not an address: {error}") from error


class Hop(Struct, frozen=True):
    """One request of a call: to its address, or to where a redirect led."""

    call: Call
    url: httpx2.URL
    is_secret: bool  # carries secrets without encryption

    def request(self) -> httpcore2.Request:
        """Raises UnicodeError for headers that are no ASCII."""
        call, url = self.call, self.url
        headers = [
            ("Host", url.netloc.decode("ascii")),
            ("Accept", "*/*"),
            ("Connection", "keep-alive"),
            ("User-Agent", f"cairn/{__version__}"),
            *call.headers.items(),
            ("Accept-Encoding", "gzip"),
        ]
        if call.body or call.method.upper() in _SENDS_BODY:
            headers.insert(1, ("Content-Length", str(len(call.body))))
        if call.secret is not None and call.secret.host == url.host:
            headers += call.secret.headers.items()
        last = {name.lower(): (name.encode("ascii"), text.encode("ascii")) for name, text in headers}
        target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        return httpcore2.Request(call.method, target, headers=list(last.values()), content=call.body)


def hop_of(call: Call) -> Hop:
    """Raises CallRefused for an address that no call may have."""
    url = parsed(call.url)
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        raise CallRefused(
            f"url: {call.url[:200]!r} must be http or https, with a host and without a password"
        )
    carries = call.secret is not None and call.secret.host == url.host
    return Hop(call, url, is_secret=carries and url.scheme == "http")


def next_call(hop: Hop, answer: Answer) -> Call | None:
    """Where an answer leads; None: it is the call's answer. Raises CallRefused."""
    location = answer.headers.get("location")
    if answer.status not in _REDIRECTS or location is None or hop.call.redirects == 0:
        return None
    try:
        url = str(hop.url.join(location))
    except (httpx2.InvalidURL, ValueError) as error:
        raise CallRefused(f"url: the redirect to {location[:200]!r} leads to no address") from error
    return _redirected(hop.call, url, answer.status)


def _redirected(call: Call, url: str, status: int) -> Call:
    """The next hop: without the secrets when it leads elsewhere, and it stays elsewhere."""
    is_same = parsed(url).host == parsed(call.url).host
    is_get = status in _BECOMES_GET and call.method != "HEAD"
    return Call(
        "GET" if is_get else call.method,
        url,
        call.headers,
        b"" if is_get else call.body,
        call.secret if is_same else None,
        call.redirects,
    )


def too_many_redirects(call: Call) -> CallFailed:
    return CallFailed(f"{call.url[:200]!r}: too many redirects")


@contextmanager
def failures(url: str) -> Iterator[None]:
    """What goes wrong on the way, as CallFailed."""
    try:
        yield
    except (
        httpcore2.NetworkError,
        httpcore2.TimeoutException,
        httpcore2.ProtocolError,
        httpcore2.UnsupportedProtocol,
        zlib.error,
        OSError,
        UnicodeError,
    ) as error:
        raise CallFailed(f"{url[:200]!r}: {error or type(error).__name__}") from error


class Body:
    """An answer's body, unpacked a piece at a time, because a packed one may be a thousand times its size."""

    def __init__(self, url: str, response: httpcore2.Response, most_bytes: int, *, cuts: bool) -> None:
        """`cuts`: keep the beginning of a body that is too long, instead of failing. Raises CallFailed."""
        self._url, self._most_bytes, self._cuts = url[:200], most_bytes, cuts
        self.status = response.status
        self.headers = _joined(response.headers)
        encoding = self.headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity", "gzip"):
            raise CallFailed(f"{self._url}: content-encoding {encoding[:40]!r} was not asked for")
        self._unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS) if encoding == "gzip" else None
        self._bytes = bytearray()

    def take(self, piece: bytes) -> bool:
        """Whether to read on. Raises CallFailed and zlib.error."""
        room = self._most_bytes + 1 - len(self._bytes)
        self._bytes += self._unpacker.decompress(piece, room) if self._unpacker else piece[:room]
        if len(self._bytes) > self._most_bytes and not self._cuts:
            raise CallFailed(f"{self._url}: the answer has over {self._most_bytes} bytes")
        return len(self._bytes) <= self._most_bytes

    def answer(self) -> Answer:
        """Raises CallFailed when the packed body is not whole."""
        is_cut = len(self._bytes) > self._most_bytes
        if self._unpacker and not self._unpacker.eof and not is_cut:
            raise CallFailed(f"{self._url}: the packed answer ends too early")
        return Answer(self.status, self.headers, bytes(self._bytes[: self._most_bytes]), self._url, is_cut)


def _joined(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, text in headers:
        key, value = name.decode("latin-1").lower(), text.decode("latin-1")
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    return joined

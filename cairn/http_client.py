"""The one client for calls to addresses that people type in: webhooks, partners, other clusters.

It never reaches what only this machine or its network can: every address a name stands for is checked, and the
connection is made to an address that was checked, so a name that changes its mind meanwhile gains nothing. Addresses
that an operator allows (`outbound_networks`) are the exception. Sync; whoever is async calls it in a thread.
"""

import ipaddress
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import httpcore2
import httpx2
from msgspec import Struct, field

from cairn.client_address import IPAddress, TrustedProxies
from cairn.errors import Unavailable

# Public by their number, but what answers there belongs to the machine's own provider.
_PROVIDER = frozenset({ipaddress.ip_address("168.63.129.16")})
_GLOBAL_IPV6 = ipaddress.ip_network("2000::/3")
_TEREDO = ipaddress.ip_network("2001::/32")
_6TO4 = ipaddress.ip_network("2002::/16")
# Special by their registries, and not by the standard library of every Python: protocol assignments, among them a
# cloud's metadata, 6to4 relays, documentation.
_SPECIAL = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_BECOMES_GET = frozenset((301, 302, 303))
_CHUNK_BYTES = 65_536

Resolve = Callable[[str, int], list[str]]


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


class Url(Struct, frozen=True):
    """An address as a call takes it apart."""

    scheme: str
    host: str  # as `Secret` names it
    netloc: str  # as the Host header has it
    path: str  # with its query, as it is sent
    names_user: bool


def read_url(text: str) -> Url:
    """Raises CallRefused for what is no address."""
    url = _parsed(text)
    return Url(url.scheme, url.host, url.netloc.decode(), url.raw_path.decode(), bool(url.userinfo))


def _parsed(text: str) -> httpx2.URL:
    try:
        return httpx2.URL(text)
    except (httpx2.InvalidURL, ValueError) as error:
        raise CallRefused(f"url: {text[:200]!r} is not an address: {error}") from error


def resolve(host: str, port: int) -> list[str]:
    """Every address of a host, in the resolver's order. Numbers in any notation are addresses already."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise CallFailed(f"{host!r} has no address: {error}") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(text: str) -> bool:
    """Whether anybody on the internet could reach the address. False for what is no address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return _is_public(address)


def _is_public(address: IPAddress) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if (inner := _inner(address)) is not None:
            return _is_public(inner)
        if address not in _GLOBAL_IPV6 or address in _TEREDO:
            return False
    if address.is_multicast or address.is_reserved or address in _PROVIDER:
        return False
    return address.is_global and not any(address in network for network in _SPECIAL)


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for: mapped, compatible, NAT64 or 6to4."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _6TO4:
        return ipaddress.IPv4Address(int(address) >> 80 & 0xFFFFFFFF)
    if address in _NAT64 or int(address) >> 32 == 0:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


class HttpClient:
    """Thread-safe: each call has connections of its own, and so has each session.

    Limits: `timeout_s` for everything from the look-up to the last byte, `most_bytes` for the unpacked body.
    """

    def __init__(
        self,
        allowed: TrustedProxies,
        *,
        timeout_s: float = 10.0,
        most_bytes: int = 1 << 20,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed, self._timeout_s, self._most_bytes = allowed, timeout_s, most_bytes
        self._resolve, self._tls = resolve, tls or ssl.create_default_context()

    def send(self, call: Call) -> Answer:
        """Raises CallRefused and CallFailed."""
        with self.session() as session:
            return session.send(call)

    @contextmanager
    def session(self) -> Iterator["Session"]:
        """For many calls one after the other, by one thread: connections are kept and used again."""
        # A connection without encryption is opened to any public address, so none of these ever carries a secret.
        lines = [
            _Line(_GuardedNetwork(self._resolve, self._allowed, is_secret=secret), self._tls)
            for secret in (False, True)
        ]
        with lines[0], lines[1]:
            yield Session(lines[0], lines[1], self._timeout_s, self._most_bytes)


class Session:
    """Calls over connections that are kept. Not thread-safe."""

    def __init__(self, plain: "_Line", secret: "_Line", timeout_s: float, most_bytes: int) -> None:
        self._plain, self._secret, self._timeout_s, self._most_bytes = plain, secret, timeout_s, most_bytes

    def send(self, call: Call) -> Answer:
        """Raises CallRefused and CallFailed."""
        deadline = time.monotonic() + self._timeout_s
        for _ in range(call.redirects + 1):
            url = _parsed(call.url)
            answer = self._hop(call, url, deadline)
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or location is None or call.redirects == 0:
                return answer
            call = _redirected(call, str(url.join(location)), answer.status)
        raise CallFailed(f"{call.url[:200]!r}: too many redirects")

    def _hop(self, call: Call, url: httpx2.URL, deadline: float) -> Answer:
        if url.scheme not in ("http", "https") or not url.host or url.userinfo:
            raise CallRefused(
                f"url: {call.url[:200]!r} must be http or https, with a host and without a password"
            )
        line = self._plain
        headers = {**call.headers, "accept-encoding": "gzip"}
        if call.secret is not None and call.secret.host == url.host:
            headers |= call.secret.headers
            line = self._secret if url.scheme == "http" else self._plain
        line.network.deadline = deadline
        with _failures(call.url):
            request = line.client.build_request(call.method, url, headers=headers, content=call.body)
            response = line.client.send(request, stream=True)
            try:
                body = _unpacked(response, self._most_bytes)
            finally:
                response.close()
                line.client.cookies.clear()  # a call tells nothing of an earlier one
            return Answer(response.status_code, dict(response.headers), body, str(url))


class _Line:
    """A pool of connections made by one network."""

    def __init__(self, network: "_GuardedNetwork", tls: ssl.SSLContext) -> None:
        self.network = network
        self._pool = httpcore2.ConnectionPool(ssl_context=tls, network_backend=network, keepalive_expiry=30.0)
        self.client = httpx2.Client(transport=_Transport(self._pool), trust_env=False)

    def __enter__(self) -> None:
        self._pool.__enter__()
        self.client.__enter__()

    def __exit__(self, *error: object) -> None:
        self.client.close()
        self._pool.close()


def _redirected(call: Call, url: str, status: int) -> Call:
    """The next hop: without the secrets when it leads elsewhere, and it stays elsewhere."""
    is_same = httpx2.URL(url).host == httpx2.URL(call.url).host
    is_get = status in _BECOMES_GET and call.method != "HEAD"
    return Call(
        "GET" if is_get else call.method,
        url,
        call.headers,
        b"" if is_get else call.body,
        call.secret if is_same else None,
        call.redirects,
    )


@contextmanager
def _failures(url: str) -> Iterator[None]:
    try:
        yield
    except (
        httpx2.HTTPError,
        httpcore2.NetworkError,
        httpcore2.TimeoutException,
        httpcore2.ProtocolError,
        zlib.error,
        OSError,
        UnicodeError,
    ) as error:
        raise CallFailed(f"{url[:200]!r}: {error or type(error).__name__}") from error


def _unpacked(response: httpx2.Response, most_bytes: int) -> bytes:
    """The body. Unpacked here, a piece at a time, because a packed one may be a thousand times its size."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise CallFailed(f"{response.url}: content-encoding {encoding[:40]!r} was not asked for")
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS) if encoding == "gzip" else None
    body = bytearray()
    for piece in response.iter_raw():
        room = most_bytes + 1 - len(body)
        body += unpacker.decompress(piece, room) if unpacker else piece[:room]
        if len(body) > most_bytes:
            raise CallFailed(f"{response.url}: the answer has over {most_bytes} bytes")
    if unpacker and not unpacker.eof:
        raise CallFailed(f"{response.url}: the packed answer ends too early")
    return bytes(body)


class _Transport(httpx2.BaseTransport):
    """httpx2's requests over a pool of httpcore2, whose network is ours."""

    def __init__(self, pool: httpcore2.ConnectionPool) -> None:
        self._pool = pool

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        answer = self._pool.handle_request(
            httpcore2.Request(
                request.method,
                httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                content=request.stream,
            )
        )
        return httpx2.Response(answer.status, headers=answer.headers, stream=_Stream(answer))


class _Stream(httpx2.SyncByteStream):
    def __init__(self, answer: httpcore2.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        yield from self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


class _GuardedNetwork(httpcore2.NetworkBackend):
    """Connects to addresses that were checked, and to nothing else; every wait ends with the deadline."""

    def __init__(self, resolve: Resolve, allowed: TrustedProxies, *, is_secret: bool) -> None:
        self._resolve, self._allowed = resolve, allowed
        self._network = httpcore2.SyncBackend()
        self._is_secret = is_secret  # secrets are on their way without encryption
        self.deadline = 0.0  # of the call that is made

    def left(self) -> float:
        """Seconds until the deadline. Raises CallFailed when it is over."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise CallFailed("the answer took too long")
        return left

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        addresses = self._resolve(host, port)
        for address in addresses:
            if address not in self._allowed and (self._is_secret or not is_public(address)):
                reason = "secrets go over https only" if is_public(address) else "it is not a public address"
                raise CallRefused(
                    f"{host!r} is {address}: {reason}; an operator can allow it in outbound_networks"
                )
        stream = self._network.connect_tcp(addresses[0], port, self.left(), None, socket_options)
        return _TimedStream(stream, self)

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        raise CallRefused("a socket of this machine is no address")


class _TimedStream(httpcore2.NetworkStream):
    """A stream whose every wait is cut at the deadline, so a server that drips costs no more than one that hangs."""

    def __init__(self, stream: httpcore2.NetworkStream, network: _GuardedNetwork) -> None:
        self._stream, self._network = stream, network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(min(max_bytes, _CHUNK_BYTES), self._network.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._network.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, self._network.left())
        return _TimedStream(secured, self._network)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)

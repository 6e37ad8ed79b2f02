"""The client for whoever may wait: jobs, pages, senders with threads of their own."""

import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import httpcore2

from cairn.client_address import TrustedProxies
from cairn.http_client.address import Resolve, checked_address, resolve
from cairn.http_client.call import (
    Answer,
    Body,
    Call,
    CallFailed,
    CallRefused,
    Hop,
    failures,
    hop_of,
    next_call,
    too_many_redirects,
)

_CHUNK_BYTES = 65_536


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

    def locate(self, host: str, port: int, is_encrypted: bool) -> str:
        """A checked address, for what is no HTTP call. Raises CallRefused and CallFailed."""
        return checked_address(host, self._resolve(host, port), self._allowed, is_secret=not is_encrypted)

    @contextmanager
    def session(self) -> Iterator["Session"]:
        """For many calls one after the other, by one thread: connections are kept and used again."""
        # A connection without encryption is opened to any public address, so none of these ever carries a secret.
        lines = [
            _Line(_GuardedNetwork(self._resolve, self._allowed, is_secret=secret), self._tls)
            for secret in (False, True)
        ]
        with lines[0].pool, lines[1].pool:
            yield Session(lines[0], lines[1], self._timeout_s, self._most_bytes)


class Session:
    """Calls over connections that are kept. Not thread-safe."""

    def __init__(self, plain: "_Line", secret: "_Line", timeout_s: float, most_bytes: int) -> None:
        self._plain, self._secret, self._timeout_s, self._most_bytes = plain, secret, timeout_s, most_bytes

    def send(self, call: Call) -> Answer:
        """Raises CallRefused and CallFailed."""
        deadline = time.monotonic() + self._timeout_s
        hop = hop_of(call)
        for _ in range(call.redirects + 1):
            answer = self._answer(hop, deadline)
            following = next_call(hop, answer)
            if following is None:
                return answer
            hop = hop_of(following)
        raise too_many_redirects(call)

    def _answer(self, hop: Hop, deadline: float) -> Answer:
        line = self._secret if hop.is_secret else self._plain
        line.network.deadline = deadline
        with failures(hop.call.url):
            response = line.pool.handle_request(hop.request())
            try:
                body = Body(str(hop.url), response, self._most_bytes, cuts=False)
                for piece in response.iter_stream():
                    body.take(piece)
            finally:
                response.close()
            return body.answer()


class _Line:
    """A pool of connections made by one network."""

    def __init__(self, network: "_GuardedNetwork", tls: ssl.SSLContext) -> None:
        self.network = network
        self.pool = httpcore2.ConnectionPool(ssl_context=tls, network_backend=network, keepalive_expiry=30.0)


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
        address = checked_address(host, addresses, self._allowed, is_secret=self._is_secret)
        stream = self._network.connect_tcp(address, port, self.left(), None, socket_options)
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

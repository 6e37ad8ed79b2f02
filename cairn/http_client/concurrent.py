"""The client for an event loop that makes many calls at once, to many hosts, none of which may hold the others up.

No thread waits for an answer. Names are looked up by threads, because the system's resolver knows no other way: at
most one for each session at a time.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

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
_KEPT_S = 30.0  # an idle connection
_RESOLVING_THREADS = 64


class AsyncHttpClient:
    """As HttpClient, for one event loop. Limits: `timeout_s` for everything from the look-up to the last byte, and
    `most_bytes` of the unpacked body, the rest of which is not read.
    """

    def __init__(
        self,
        allowed: TrustedProxies,
        *,
        timeout_s: float = 10.0,
        most_bytes: int = 65_536,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed, self._timeout_s, self._most_bytes = allowed, timeout_s, most_bytes
        self._resolve, self._tls = resolve, tls or ssl.create_default_context()
        self._threads = ThreadPoolExecutor(_RESOLVING_THREADS, thread_name_prefix="resolve")

    async def send(self, call: Call) -> Answer:
        """Raises CallRefused and CallFailed."""
        async with self.session() as session:
            return await session.send(call)

    @asynccontextmanager
    async def session(self, *, most_connections: int = 10) -> AsyncIterator["AsyncSession"]:
        """For many calls, also at once: connections are kept and used again."""
        looking_up = asyncio.Lock()

        async def addresses_of(host: str, port: int) -> list[str]:
            async with looking_up:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads, self._resolve, host, port)

        # A connection without encryption is opened to any public address, so none of these ever carries a secret.
        plain, secret = (
            httpcore2.AsyncConnectionPool(
                ssl_context=self._tls,
                network_backend=_GuardedNetwork(addresses_of, self._allowed, is_secret=is_secret),
                max_connections=most_connections,
                keepalive_expiry=_KEPT_S,
            )
            for is_secret in (False, True)
        )
        async with plain, secret:
            yield AsyncSession(plain, secret, self._timeout_s, self._most_bytes)

    def locate(self, host: str, port: int, is_encrypted: bool) -> str:
        """For what is no HTTP: the address to connect to. Waits for the resolver. Raises CallRefused, CallFailed."""
        return checked_address(host, self._resolve(host, port), self._allowed, is_secret=not is_encrypted)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class AsyncSession:
    """Calls over connections that are kept, any number at once."""

    def __init__(
        self,
        plain: httpcore2.AsyncConnectionPool,
        secret: httpcore2.AsyncConnectionPool,
        timeout_s: float,
        most_bytes: int,
    ) -> None:
        self._plain, self._secret = plain, secret
        self._timeout_s, self._most_bytes = timeout_s, most_bytes

    async def send(self, call: Call) -> Answer:
        """Raises CallRefused and CallFailed."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._follow(call)
        except TimeoutError:
            raise CallFailed(f"{call.url[:200]!r}: the answer took too long") from None

    async def _follow(self, call: Call) -> Answer:
        hop = hop_of(call)
        for _ in range(call.redirects + 1):
            answer = await self._answer(hop)
            following = next_call(hop, answer)
            if following is None:
                return answer
            hop = hop_of(following)
        raise too_many_redirects(call)

    async def _answer(self, hop: Hop) -> Answer:
        pool = self._secret if hop.is_secret else self._plain
        with failures(hop.call.url):
            response = await pool.handle_async_request(hop.request())
            try:
                body = Body(str(hop.url), response, self._most_bytes, cuts=True)
                async for piece in response.aiter_stream():
                    if not body.take(piece):
                        break
            finally:
                await response.aclose()
            return body.answer()


_AddressesOf = Callable[[str, int], Awaitable[list[str]]]


class _GuardedNetwork(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that were checked, and to nothing else."""

    def __init__(self, addresses_of: _AddressesOf, allowed: TrustedProxies, *, is_secret: bool) -> None:
        self._addresses_of, self._allowed, self._is_secret = addresses_of, allowed, is_secret

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await self._addresses_of(host, port)
        address = checked_address(host, addresses, self._allowed, is_secret=self._is_secret)
        return _Stream(*await asyncio.open_connection(address, port, limit=_CHUNK_BYTES))

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        raise CallRefused("a socket of this machine is no address")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Stream(httpcore2.AsyncNetworkStream):
    """Its waits have no limits of their own: the deadline of the whole call ends them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._reader.read(min(max_bytes, _CHUNK_BYTES))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if buffer:
            self._writer.write(buffer)
            await self._writer.drain()

    async def aclose(self) -> None:
        # At once: whatever is on its way from a target that was given up is not waited for.
        self._writer.transport.abort()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        return self

    def get_extra_info(self, info: str) -> object:
        if info == "is_readable":  # of an idle connection: the server has ended it
            return self._reader.at_eof() or self._reader.exception() is not None
        return self._writer.get_extra_info(info)

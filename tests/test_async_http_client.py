"""The client of an event loop: guarded as the waiting one, and no target holds another up."""

import asyncio
import datetime
import ipaddress
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cairn.client_address import TrustedProxies
from cairn.http_client import (
    Answer,
    AsyncHttpClient,
    Call,
    CallFailed,
    CallRefused,
    Secret,
    is_public,
    resolve,
)
from tests.test_http_client import LOOPBACK, NOBODY, REFUSED, named
from tests.test_http_client import server as server

URLS = [
    "ftp://one.test/",
    "file:///etc/passwd",
    "http://",
    "//one.test",
    "http://a:b@one.test/",
    "http://[::1/",
    "javascript:alert(1)",
]


def send(call: Call, allowed: TrustedProxies = LOOPBACK, **limits: Any) -> Answer:
    async def sent() -> Answer:
        client = AsyncHttpClient(allowed, **{"resolve": named, "timeout_s": 5, **limits})
        try:
            return await client.send(call)
        finally:
            client.close()

    return asyncio.run(sent())


@pytest.mark.parametrize("host", REFUSED)
def test_what_only_this_machine_or_its_network_can_reach_is_refused(host: str) -> None:
    seen: list[str] = []

    def looked_up(name: str, port: int) -> list[str]:
        seen.extend(resolve(name, port))
        assert not any(map(is_public, seen))  # before anything could be called
        return seen

    with pytest.raises((CallRefused, CallFailed)) as refused:
        send(Call("GET", f"http://{host}:9/"), NOBODY, resolve=looked_up)
    # Where this machine's resolver does not take the notation, it leads nowhere.
    assert isinstance(refused.value, CallRefused) or "no address" in str(refused.value)


@pytest.mark.parametrize("url", URLS)
def test_other_schemes_and_passwords_in_addresses_are_refused(url: str) -> None:
    with pytest.raises(CallRefused):
        send(Call("GET", url))


def test_a_name_that_changes_its_mind_gains_nothing(server: ThreadingHTTPServer) -> None:
    asked: list[str] = []

    def rebinding(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["203.0.113.77"] if len(asked) == 1 else ["127.0.0.1"]

    url = f"http://one.test:{server.server_port}/"
    with pytest.raises(CallRefused):
        send(Call("GET", url), NOBODY, resolve=rebinding)
    with pytest.raises(CallRefused):  # one bad address among good ones
        send(Call("GET", url), NOBODY, resolve=lambda *_: ["1.1.1.1", "127.0.0.1"])
    assert (asked, server.seen) == (["one.test"], [])  # type: ignore[attr-defined]


def test_a_call_gets_its_answer_and_redirects_are_checked_again(server: ThreadingHTTPServer) -> None:
    at = f"http://one.test:{server.server_port}"
    assert send(Call("GET", at)).body == b"ok" == send(Call("POST", at, body=b"sent")).body
    assert send(Call("GET", f"{at}/packed")).body == b"packed"
    assert send(Call("GET", f"{at}/to/302/http://two.test/")).status == 302
    assert send(Call("GET", f"{at}/to/302/http://two.test:{server.server_port}/", redirects=2)).body == b"ok"
    for place in (
        "http://10.0.0.1/",
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "http://[fe80::1]/",
    ):
        with pytest.raises(CallRefused):
            send(Call("GET", f"{at}/to/302/{place}", redirects=2))
    with pytest.raises(CallFailed):
        send(Call("GET", f"{at}/to/302//to/302//to/302//to/302/", redirects=2))


def test_secrets_stay_with_their_host_and_go_over_encryption_only(server: ThreadingHTTPServer) -> None:
    secret = Secret("one.test", {"authorization": "Bearer s3cret"})
    there = f"http://two.test:{server.server_port}/"
    send(Call("GET", f"http://one.test:{server.server_port}/to/307/{there}", secret=secret, redirects=1))
    sent = [headers.get("authorization") for _, headers in server.seen]  # type: ignore[attr-defined]
    assert sent == ["Bearer s3cret", None]
    with pytest.raises(CallRefused, match="https"):
        send(Call("GET", "http://one.test/", secret=secret), NOBODY, resolve=lambda *_: ["1.1.1.1"])


@pytest.mark.parametrize("path", ["/large", "/bomb"])
def test_of_an_answer_that_is_too_long_the_beginning_is_taken(server: ThreadingHTTPServer, path: str) -> None:
    """Packed or not: the status counts, and the rest is neither unpacked nor kept."""
    answer = send(Call("GET", f"http://one.test:{server.server_port}{path}"), most_bytes=1000)
    assert (answer.status, answer.body, answer.is_cut) == (200, b"0" * 1000, True)


def test_an_answer_that_does_not_end_is_given_up(server: ThreadingHTTPServer) -> None:
    with pytest.raises(CallFailed, match="too long"):
        send(Call("GET", f"http://one.test:{server.server_port}/drip"), timeout_s=0.3)


def test_a_target_that_drips_costs_its_own_calls_only(server: ThreadingHTTPServer) -> None:
    """Its calls still wait when all the others have their answers."""
    at = f"http://one.test:{server.server_port}"

    async def both() -> tuple[list[Answer], int]:
        client = AsyncHttpClient(LOOPBACK, resolve=named, timeout_s=30)
        async with client.session() as slow, client.session() as fast:
            dripping = [asyncio.create_task(slow.send(Call("GET", f"{at}/drip"))) for _ in range(10)]
            answers = await asyncio.gather(*(fast.send(Call("GET", at)) for _ in range(50)))
            waiting = sum(not task.done() for task in dripping)
            for task in dripping:
                task.cancel()
            await asyncio.gather(*dripping, return_exceptions=True)
        client.close()
        return answers, waiting

    answers, waiting = asyncio.run(both())
    assert ([answer.body for answer in answers], waiting) == ([b"ok"] * 50, 10)


def test_a_name_server_that_does_not_answer_costs_its_own_session_only(server: ThreadingHTTPServer) -> None:
    at = f"http://one.test:{server.server_port}"
    release = threading.Event()

    def stuck(host: str, port: int) -> list[str]:
        if host == "stuck.test":
            release.wait()
        return named(host, port)

    async def both() -> Answer:
        client = AsyncHttpClient(LOOPBACK, resolve=stuck, timeout_s=30)
        async with client.session(most_connections=100) as slow, client.session() as fast:
            tasks = [asyncio.create_task(slow.send(Call("GET", "http://stuck.test/"))) for _ in range(100)]
            answer = await fast.send(Call("GET", at))
            for task in tasks:
                task.cancel()
            release.set()
            await asyncio.gather(*tasks, return_exceptions=True)
        client.close()
        return answer

    assert asyncio.run(both()).body == b"ok"


def test_connections_are_kept_and_given_up_ones_replaced(server: ThreadingHTTPServer) -> None:
    at = f"http://one.test:{server.server_port}"

    async def several() -> None:
        client = AsyncHttpClient(LOOPBACK, resolve=named, timeout_s=0.5)
        async with client.session() as session:
            for _ in range(3):
                assert (await session.send(Call("GET", at))).body == b"ok"
            assert len(set(server.peers)) == 1  # type: ignore[attr-defined]
            with pytest.raises(CallFailed):
                await session.send(Call("GET", f"{at}/drip"))
            assert (await session.send(Call("GET", at))).body == b"ok"
        client.close()

    asyncio.run(several())


def certificate(folder: Path, name: str) -> ssl.SSLContext:
    """Of a server with this name, signed by itself; it lies in the folder for whoever trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName(
        [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    built = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    built = built.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
    signed = built.add_extension(names, critical=False).sign(key, hashes.SHA256())
    form = serialization.PrivateFormat.PKCS8
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, form, serialization.NoEncryption())
    (folder / "own.pem").write_bytes(secret + signed.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem")
    return context


@asynccontextmanager
async def encrypted(context: ssl.SSLContext) -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecure")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.transport.abort()

    served = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    yield served.sockets[0].getsockname()[1]
    served.close()


@pytest.fixture
def trusting(tmp_path: Path) -> Iterator[tuple[ssl.SSLContext, ssl.SSLContext]]:
    own = certificate(tmp_path, "one.test")
    yield own, ssl.create_default_context(cafile=str(tmp_path / "own.pem"))


def test_encrypted_calls_carry_secrets_and_bad_certificates_are_refused(
    trusting: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    own, trusted = trusting

    async def calls() -> None:
        async with encrypted(own) as port:
            client = AsyncHttpClient(LOOPBACK, resolve=named, tls=trusted)
            async with client.session() as session:
                secret = Secret("one.test", {"x-key": "s3cret"})
                for _ in range(2):
                    answer = await session.send(Call("GET", f"https://one.test:{port}/", secret=secret))
                    assert answer.body == b"secure"
                with pytest.raises(CallFailed, match=r"(?i)hostname"):  # another name than the certificate's
                    await session.send(Call("GET", f"https://two.test:{port}/"))
            client.close()
            nobody = AsyncHttpClient(LOOPBACK, resolve=named)
            with pytest.raises(CallFailed, match=r"(?i)certificate"):
                await nobody.send(Call("GET", f"https://one.test:{port}/"))
            nobody.close()

    asyncio.run(calls())

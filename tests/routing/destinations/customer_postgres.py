"""A customer's PostgreSQL: over TCP, with a password and TLS."""

import asyncio
import datetime as dt
import os
import shutil
import socket
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cairn.routing.catalogue import destination
from cairn.routing.destination import Verdict
from cairn.routing.message import Message
from tests.postgresql import UNPRIVILEGED, Server
from tests.routing.destinations.sending import configured

TABLE = destination("postgresql_table")
PASSWORD = "p w'ord"


def run(sending: Awaitable[Verdict]) -> Verdict:
    async def sent() -> Verdict:
        return await sending

    return asyncio.run(sent())


class Postgres:
    def __init__(self, server: Server, port: int) -> None:
        self.server, self.port = server, port
        self.asked: list[tuple[str, int, bool]] = []

    def settings(self, **typed: Any) -> dict[str, Any]:
        return {
            "host": "localhost",
            "port": self.port,
            "database": "postgres",
            "user": "writer",
            "password": PASSWORD,
            "encryption": "require",
            **typed,
        }

    def locate(self, host: str, port: int, is_encrypted: bool) -> str:
        self.asked.append((host, port, is_encrypted))
        return "127.0.0.1"

    def send(self, messages: Sequence[Message], **typed: Any) -> Verdict:
        assert TABLE.send is not None
        configuration = configured(TABLE, **self.settings(**typed))
        return run(TABLE.send(messages, configuration, self.locate))

    def rows(self, table: str = "events", columns: str = "*") -> list[Any]:
        with self.admin() as connection:
            return connection.execute(
                f'SELECT {columns} FROM public."{table}" ORDER BY received_at'
            ).fetchall()  # type: ignore[arg-type]

    def empty(self) -> None:
        with self.admin() as connection:
            connection.execute("DROP OWNED BY writer; GRANT CREATE, USAGE ON SCHEMA public TO writer")
        self.asked.clear()

    def admin(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=str(self.server.folder), port=self.port, user="cairn", dbname="postgres", autocommit=True
        )


@contextmanager
def serving_postgres() -> Iterator[Postgres]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Server(port=port, options=("ssl=on", "ssl_cert_file=tls.crt", "ssl_key_file=tls.key"))
    _write_certificate(server.folder / "data")
    server.start()
    postgres = Postgres(server, port)
    with postgres.admin() as connection:
        connection.execute("SET password_encryption = 'scram-sha-256'")
        connection.execute("CREATE ROLE writer LOGIN PASSWORD 'p w''ord'")
        connection.execute("GRANT CREATE, USAGE ON SCHEMA public TO writer")
    try:
        yield postgres
    finally:
        server.kill()


def _write_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    written = {
        "tls.crt": certificate.public_bytes(pem),
        "tls.key": key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    }
    for file, content in written.items():
        (folder / file).write_bytes(content)
        (folder / file).chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(folder / file, UNPRIVILEGED)

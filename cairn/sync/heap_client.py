"""Calls to the side that has the segments: Heap's partner API, or that of another Cairn.

Source: contracts/heap.md section 12; RFC 6749, 7636 and, for another Cairn, 7591 and 8414. What goes wrong is said in
the reader's words: the member who connects an account knows neither OAuth nor our addresses.
"""

import hashlib
import re
import secrets
from base64 import urlsafe_b64encode
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import Meta, Struct

from cairn.errors import InvalidInput, Unavailable
from cairn.http_client import Answer, Call, CallFailed, CallRefused, HttpClient, Secret

HEAP = "https://heapanalytics.com"
CLIENT_NAME = "Wingify Cohort Sync"
WELL_KNOWN = "/.well-known/oauth-authorization-server"
LONGEST_HOST = 200
_HOST = re.compile(r"[a-z0-9.:_-]+")
_JSON = {"Content-Type": "application/json", "Accept": "application/json"}

_Answer = TypeVar("_Answer")
_Text = Annotated[str, Meta(min_length=1, max_length=1000)]


class HeapAway(Unavailable):
    """The Heap account's side cannot be reached, or does not answer as Heap does. The message says what to look at."""

    code = "heap_away"


class HeapRefused(InvalidInput):
    """The Heap account's side refuses what Cairn asks. The message says what to do."""

    code = "heap_refused"


class Server(Struct, frozen=True):
    """Where what is done. Only another Cairn registers clients by itself and revokes."""

    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str = ""
    revocation_endpoint: str = ""


class Registered(Struct, frozen=True):
    client_id: _Text
    client_secret: _Text
    webhook_secret: _Text


class Tokens(Struct, frozen=True):
    access_token: _Text
    id_token: Annotated[str, Meta(min_length=1, max_length=64)]


class _Named(Struct, frozen=True):
    name: str = ""


class _Value(Struct, frozen=True):
    display_name: str = ""


class _Field(Struct, frozen=True):
    value: _Value = _Value()


class Metadata(Struct, frozen=True):
    """Heap documents no fields; a Cairn has these."""

    account: _Named = _Named()
    environment: _Named = _Named()
    fields: list[_Field] = []

    @property
    def environment_name(self) -> str:
        named = (self.environment.name, *(field.value.display_name for field in self.fields))
        return next((name[:200] for name in named if name), "")


class Offered(Struct, frozen=True):
    id: int | str
    name: str


class _OnOffer(Struct, frozen=True):
    segments: list[Offered]


def clean_host(text: str) -> str:
    """Scheme and host, with a port where there is one. Raises InvalidInput."""
    text = text.strip()
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    is_plain = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username)
    is_plain = is_plain and parts.scheme in ("http", "https") and len(text) <= LONGEST_HOST
    if not host or not _HOST.fullmatch(host) or not is_plain:
        raise InvalidInput(
            f"host: expected the address of Heap or of a Cairn, such as {HEAP}, without a path", field="host"
        )
    named = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{named}" + (f":{port}" if port else "")


def discover(client: HttpClient, host: str) -> Server:
    """Raises HeapAway."""
    if host == HEAP:
        return _as_heap(host)
    answer = _send(client, Call("GET", host + WELL_KNOWN, {"Accept": "application/json"}))
    if answer.status != 200:
        return _as_heap(host)
    server = _read(answer, Server, host)
    addresses = (
        server.authorization_endpoint,
        server.token_endpoint,
        server.registration_endpoint,
        server.revocation_endpoint,
    )
    for address in addresses:
        # What is sent there is secret, and a person is led there: it must be the side that was named.
        if address and not address.startswith(f"{host}/"):
            said = f"{urlsplit(address).scheme}://{urlsplit(address).netloc}"
            raise HeapAway(f"{host} says that its address is {said}; enter that address", field="host")
    return server


def _as_heap(host: str) -> Server:
    return Server(f"{host}/api/partner/oauth/authorize", f"{host}/api/partner/oauth/token")


def register(client: HttpClient, server: Server, *, redirect_uri: str, webhook_url: str) -> Registered:
    """Another Cairn gives us a client of its own. Raises HeapAway and HeapRefused."""
    body = {"client_name": CLIENT_NAME, "redirect_uris": [redirect_uri], "webhook_url": webhook_url}
    host = _host(server.registration_endpoint)
    answer = _send(
        client,
        Call("POST", server.registration_endpoint, _JSON, msgspec.json.encode(body), Secret(_name(host), {})),
    )
    if answer.status not in (200, 201):
        raise HeapRefused(
            f"{host} does not let this Cairn register itself: {_said(answer)}; ask an admin there",
            field="host",
        )
    return _read(answer, Registered, host)


def challenge_of(verifier: str) -> str:
    """RFC 7636, 4.2: S256."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def new_verifier() -> str:
    return secrets.token_urlsafe(48)


def authorize_url(server: Server, *, client_id: str, redirect_uri: str, state: str, verifier: str) -> str:
    values = {
        "client_id": client_id,
        "state": state,
        "response_type": "code",
        "redirect_uri": redirect_uri,
        "scope": "segment",
        "code_challenge": challenge_of(verifier),
        "code_challenge_method": "S256",
    }
    return f"{server.authorization_endpoint}?{urlencode(values)}"


def exchange(
    client: HttpClient,
    server: Server,
    *,
    client_id: str,
    client_secret: str,
    redirect_uri: str,
    code: str,
    verifier: str,
) -> Tokens:
    """Raises HeapAway and HeapRefused."""
    body = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "client_id": client_id,
        "client_secret": client_secret,
        "code_verifier": verifier,
    }
    host = _host(server.token_endpoint)
    # `Secret`, though it has no headers: what has one goes over https only.
    answer = _send(
        client, Call("POST", server.token_endpoint, _JSON, msgspec.json.encode(body), Secret(_name(host), {}))
    )
    if answer.status == 401 or (answer.status == 400 and "client" in _error(answer)):
        raise HeapRefused(
            f"{host} does not know client id and client secret; copy both again from there",
            field="client_secret",
        )
    if answer.status >= 500 or answer.status == 429:
        raise HeapAway(f"{host} is busy or broken at the moment ({_said(answer)}); authenticate again later")
    if answer.status != 200:
        raise HeapRefused(
            f"{host} did not take the permission ({_said(answer)}); authenticate again, and allow within a minute"
        )
    return _read(answer, Tokens, host)


def read_metadata(client: HttpClient, host: str, token: str, id_token: str) -> Metadata:
    """Raises HeapAway."""
    return _get(client, f"{host}/api/partner/v1/metadata/{id_token}", host, token, Metadata)


def read_offered(client: HttpClient, host: str, token: str) -> list[Offered]:
    """The segments that can be synced: an addition of Cairn's, which Heap has not. Raises HeapAway."""
    if host == HEAP:
        return []
    return _get(client, f"{host}/api/partner/v1/segments", host, token, _OnOffer).segments


def revoke(client: HttpClient, server: Server, *, client_id: str, client_secret: str, token: str) -> None:
    """RFC 7009. Raises HeapAway."""
    body = urlencode({"token": token, "client_id": client_id, "client_secret": client_secret}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    host = _host(server.revocation_endpoint)
    answer = _send(client, Call("POST", server.revocation_endpoint, headers, body, Secret(_name(host), {})))
    if answer.status != 200:
        raise HeapAway(f"{host} did not take the permission back: {_said(answer)}")


def _get(client: HttpClient, url: str, host: str, token: str, kind: type[_Answer]) -> _Answer:
    secret = Secret(_name(host), {"Authorization": f"Bearer {token}"})
    answer = _send(client, Call("GET", url, {"Accept": "application/json"}, secret=secret))
    if answer.status in (401, 403):
        raise HeapAway(f"{host} has taken its permission back; disconnect, and authenticate again")
    if answer.status != 200:
        raise HeapAway(f"{host} does not answer what was asked: {_said(answer)}")
    return _read(answer, kind, host)


def _send(client: HttpClient, call: Call) -> Answer:
    host = _host(call.url)
    try:
        return client.send(call)
    except CallRefused as error:
        raise HeapAway(f"{host} may not be called: {error}", field="host") from error
    except CallFailed as error:
        raise HeapAway(
            f"{host} cannot be reached ({error}); check the address, and try again", field="host"
        ) from error


def _read(answer: Answer, kind: type[_Answer], host: str) -> _Answer:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HeapAway(
            f"{host} does not answer as Heap or a Cairn does ({error}); check the address"
        ) from error


def _error(answer: Answer) -> str:
    """The code of an error as OAuth has it; empty: there is none."""
    try:
        read: Any = msgspec.json.decode(answer.body)  # Any: another side's JSON
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return str(read.get("error", "")) if isinstance(read, dict) else ""


def _said(answer: Answer) -> str:
    code = _error(answer)
    return f"{answer.status} {code[:100]}".strip()


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _name(host: str) -> str:
    return urlsplit(host).hostname or ""

"""Heap's own API for deleting users, so that what called Heap's calls Cairn's.

Source: contracts/heap.md 2.6. The access token is sealed, not stored: it says whose it is and until when.
"""

import base64
import binascii
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
from msgspec import Struct
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from cairn.api.problem import problem_of
from cairn.app.core import Core
from cairn.clock import to_ms
from cairn.errors import CairnError, InvalidInput, LimitExceeded, NotSignedIn
from cairn.privacy.request import LeavingUser, ask_deletion, get_deletion
from cairn.workspace.api_token import authenticate_token
from cairn.workspace.environment import PRODUCTION, EnvironmentNotFound, get_environment
from cairn.workspace.permission import Verb, may

PREFIX = "/api/public/v0"
LIFETIME = timedelta(minutes=5)  # of an access token
MAX_BODY = 8_000_000  # bytes; 10,000 users with the longest identities

Answer = tuple[int, dict[str, Any]]  # status and JSON


class _Access(Struct, frozen=True):
    """What an access token holds."""

    workspace_id: int
    by: str
    until_ms: int


class _User(Struct, frozen=True):
    user_id: str | int | None = None
    identity: str | int | None = None


class _Request(Struct, frozen=True):
    users: list[_User]


class Unauthorized(NotSignedIn):
    """The app id is not the main production environment's, the API key is not of its workspace, or time is over."""

    code = "unauthorized"


def heap_deletion_routes(core: Core) -> list[BaseRoute]:
    return [
        Route(f"{PREFIX}/auth_token", _handler(core, _auth_token), methods=["POST"]),
        Route(f"{PREFIX}/user_deletion", _handler(core, _user_deletion), methods=["POST"]),
        Route(f"{PREFIX}/deletion_status/{{deletion_id}}", _handler(core, _deletion_status)),
    ]


def _handler(core: Core, run: Callable[[Core, Request, bytes], Answer]) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        try:
            body = await _body(request)
            status, told = await run_in_threadpool(run, core, request, body)
        except Exception as error:  # the request boundary
            known = problem_of(error)
            status, told = known.status if known.status != 422 else 400, {"err": str(known)}
        return Response(
            msgspec.json.encode(told), status, {"Cache-Control": "no-store"}, media_type="application/json"
        )

    return handle


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise LimitExceeded(f"the body is longer than {MAX_BODY} bytes; send fewer users at once")
    return bytes(body)


def _auth_token(core: Core, request: Request, _body: bytes) -> Answer:
    app_id, api_key = _basic(request.headers.get("authorization", ""))
    with core.reading() as connection:
        token = authenticate_token(connection, api_key)
        if token is None or not may(token.role, Verb.DELETE_USERS):
            raise Unauthorized("Unauthorized")
        try:
            main = get_environment(connection, token.workspace_id, PRODUCTION)
        except EnvironmentNotFound as error:
            raise Unauthorized("Unauthorized") from error
    if main.app_id != app_id:
        raise Unauthorized("Unauthorized")
    access = _Access(token.workspace_id, f"token {token.name}", to_ms(core.clock() + LIFETIME))
    sealed = core.seal.close(msgspec.json.encode(access).decode())
    return 200, {"access_token": base64.urlsafe_b64encode(sealed).decode().rstrip("=")}


def _user_deletion(core: Core, request: Request, body: bytes) -> Answer:
    access = _access(core, request)
    users = [_leaving(place, user) for place, user in enumerate(_read(body).users)]
    with core.writing() as connection:
        asked = ask_deletion(connection, access.workspace_id, users, by=access.by, now=core.clock())
    return 201, {
        "deletion_request_id": asked.id,
        "status": asked.state,
        "deletion_request_location": f"{PREFIX}/deletion_status/{asked.id}",
    }


def _deletion_status(core: Core, request: Request, _body: bytes) -> Answer:
    access = _access(core, request)
    with core.reading() as connection:
        found = get_deletion(connection, access.workspace_id, str(request.path_params["deletion_id"]))
    return 200, {"deletion_request_id": found.id, "status": found.state}


def _basic(header: str) -> tuple[str, str]:
    """Raises Unauthorized."""
    scheme, _, encoded = header.partition(" ")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise Unauthorized("Unauthorized") from error
    name, colon, secret = text.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise Unauthorized("Unauthorized")
    return name, secret


def _access(core: Core, request: Request) -> _Access:
    """Raises Unauthorized."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        if scheme.lower() != "bearer":
            raise Unauthorized("Unauthorized")
        sealed = base64.urlsafe_b64decode(token.strip() + "=" * (-len(token.strip()) % 4))
        access = msgspec.json.decode(core.seal.open(sealed), type=_Access)
    except (CairnError, ValueError, msgspec.MsgspecError) as error:
        raise Unauthorized("Unauthorized") from error
    if access.until_ms <= to_ms(core.clock()):
        raise Unauthorized("Unauthorized")
    return access


def _read(body: bytes) -> _Request:
    try:
        return msgspec.json.decode(body, type=_Request)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(
            f'send {{"users": [{{"user_id": "1"}}, {{"identity": "a@b.c"}}]}}: {error}'
        ) from error


def _leaving(place: int, user: _User) -> LeavingUser:
    """Raises InvalidInput."""
    if (user.user_id is None) == (user.identity is None):
        raise InvalidInput(f"users[{place}]: send a user_id or an identity", field="users")
    if user.identity is not None:
        return LeavingUser(identity=str(user.identity))
    text = str(user.user_id)
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise InvalidInput(f"users[{place}].user_id: {text[:40]!r} is not a user id", field="users")
    return LeavingUser(user_id=int(text))

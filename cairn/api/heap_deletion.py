"""Heap's own API for deleting users, so that what called Heap's calls Cairn's.

Source: contracts/heap.md 2.6. The access token is sealed, not stored: it says whose it is and until when.
"""

import base64
from collections.abc import Sequence
from datetime import timedelta

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from cairn.api.caller import basic_of, bearer_of
from cairn.api.endpoint import Endpoint, Surface
from cairn.app import privacy
from cairn.app.access import call_of_app_key
from cairn.app.call import Call
from cairn.app.core import Core
from cairn.clock import to_ms
from cairn.errors import CairnError, InvalidInput, LimitExceeded, NotSignedIn
from cairn.privacy.request import ErasedUser
from cairn.workspace.permission import Role, Verb

PREFIX = "/api/public/v0"
LIFETIME = timedelta(minutes=5)  # of an access token
MAX_BODY = 8_000_000  # bytes; 10,000 users with the longest identities


class _Access(Struct, frozen=True):
    """What an access token holds."""

    workspace_id: int
    by: str
    role: Role
    until_ms: int


class User(Struct, frozen=True):
    user_id: str | int | None = None
    identity: str | int | None = None


class Users(Struct, frozen=True):
    users: list[User]


class AccessToken(Struct, frozen=True):
    access_token: str


class Requested(Struct, frozen=True):
    deletion_request_id: str
    status: str
    deletion_request_location: str


class Status(Struct, frozen=True):
    deletion_request_id: str
    status: str


class Unauthorized(NotSignedIn):
    """The app id is not the main production environment's, the API key is not of its workspace, or time is over."""

    code = "unauthorized"


def create_access_token(call: Call) -> AccessToken:
    """Exchange app id and API key for a token of five minutes."""
    access = _Access(call.workspace_id, call.by, call.role, to_ms(call.now + LIFETIME))
    sealed = call.core.seal.close(msgspec.json.encode(access).decode())
    return AccessToken(base64.urlsafe_b64encode(sealed).decode().rstrip("="))


def request_deletion(call: Call, body: Users) -> Requested:
    """Delete users from every environment, permanently."""
    deletion = privacy.delete_users(call, _erased_users(body.users))
    return Requested(deletion.id, deletion.state, f"{PREFIX}/deletion_status/{deletion.id}")


def read_status(call: Call, deletion_id: str) -> Status:
    """How far a request is."""
    deletion = privacy.get_deletion(call, deletion_id)
    return Status(deletion.id, deletion.state)


def by_app_key(core: Core, request: Request) -> Call:
    """Raises Unauthorized."""
    call = call_of_app_key(core, *basic_of(request), core.clock())
    if call is None:
        raise Unauthorized("Unauthorized")
    return call


def by_access_token(core: Core, request: Request) -> Call:
    """Raises Unauthorized."""
    now, token = core.clock(), bearer_of(request)
    try:
        sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        access = msgspec.json.decode(core.seal.open(sealed), type=_Access)
    except (CairnError, ValueError, msgspec.MsgspecError) as error:
        raise Unauthorized("Unauthorized") from error
    if access.until_ms <= to_ms(now):
        raise Unauthorized("Unauthorized")
    return Call(core, access.workspace_id, access.by, access.role, now)


async def read_any_body(request: Request) -> bytes:
    """Whatever its type says. Raises LimitExceeded."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise LimitExceeded(f"the body is longer than {MAX_BODY} bytes; send fewer users at once")
    return bytes(body)


def answer_as_heap(error: CairnError) -> Response:
    status = 400 if error.status == 422 else error.status
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode({"err": str(error)}), status, headers, "application/json")


def _erased_users(users: Sequence[User]) -> list[ErasedUser]:
    """Raises InvalidInput."""
    return [_erased_user(f"users[{number}]", user) for number, user in enumerate(users)]


def _erased_user(named: str, user: User) -> ErasedUser:
    if (user.user_id is None) == (user.identity is None):
        raise InvalidInput(f"{named}: send a user_id or an identity", field="users")
    if user.identity is not None:
        return ErasedUser(identity=str(user.identity))
    text = str(user.user_id)
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise InvalidInput(f"{named}.user_id: {text[:40]!r} is not a user id", field="users")
    return ErasedUser(user_id=int(text))


EXCHANGE = (Endpoint("POST", "/auth_token", Verb.DELETE_USERS, create_access_token),)
DELETION = (
    Endpoint("POST", "/user_deletion", Verb.DELETE_USERS, request_deletion, status=201),
    Endpoint("GET", "/deletion_status/{deletion_id}", Verb.DELETE_USERS, read_status),
)


def heap_deletion_surfaces() -> tuple[Surface, Surface]:
    return (
        Surface(PREFIX, EXCHANGE, by_app_key, read_any_body, answer_as_heap),
        Surface(PREFIX, DELETION, by_access_token, read_any_body, answer_as_heap),
    )

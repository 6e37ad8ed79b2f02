"""What the programs of partner apps call: OAuth's endpoints, and Heap's partner API.

Source: contracts/heap.md section 12; RFC 6749, 7009, 7591 (as far as another Cairn needs it) and 8414. Bodies are forms
or JSON, as the contract has it. The page on which a member allows or denies is web/pages/consent.py.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from cairn.api.body import check_depth
from cairn.api.caller import basic_of, bearer_of
from cairn.api.endpoint import Endpoint, Surface
from cairn.api.problem import problem_of
from cairn.app import partner_oauth
from cairn.app.call import Call
from cairn.app.core import Core
from cairn.app.partner_oauth import Access
from cairn.client_address import customer_of
from cairn.errors import CairnError, InvalidInput, LimitExceeded, NotFound, NotSignedIn
from cairn.sync.oauth import SCOPE, OAuthAnswer
from cairn.workspace.permission import Role, Verb

OAUTH = "/api/partner/oauth"
PARTNER = "/api/partner/v1"
WELL_KNOWN = "/.well-known/oauth-authorization-server"
MAX_BODY = 64 * 1024  # bytes
MAX_FIELDS = 50
# Registrations from one address; one Cairn needs a single one for each workspace.
MOST_REGISTRATIONS, WINDOW_S = 20, 3_600
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"]
# RFC 7591, 3.2.2: what is wrong with a registration.
METADATA = {
    "redirect_uris": "invalid_redirect_uri",
    "webhook_url": "invalid_client_metadata",
    "client_metadata": "invalid_client_metadata",
}
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class TooManyRegistrations(LimitExceeded):
    """Another Cairn may register 20 times an hour from one address. Wait as long as the message says."""

    code = "too_many_registrations"
    status = 429

    def __init__(self, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"too many registrations from this address; try again in {retry_after_s} s")


class UnknownIdToken(NotFound):
    """The access token is of another customer, or there is no such id token."""

    code = "unknown_id_token"


class NewClient(Struct, frozen=True):
    """RFC 7591 has more fields, which change nothing here."""

    redirect_uris: tuple[str, ...]
    webhook_url: str
    client_name: str = ""


class RegisteredClient(Struct, frozen=True):
    client_id: str
    client_secret: str
    webhook_secret: str
    client_name: str
    redirect_uris: tuple[str, ...]
    webhook_url: str
    client_secret_expires_at: int = 0  # never, once a member has allowed it
    token_endpoint_auth_method: str = "client_secret_post"
    grant_types: tuple[str, ...] = ("authorization_code",)
    response_types: tuple[str, ...] = ("code",)
    scope: str = SCOPE


class Named(Struct, frozen=True):
    id: str
    name: str


class FieldValue(Struct, frozen=True):
    id: str
    display_name: str


class MetadataField(Struct, frozen=True):
    """As `customer_config` of each webhook has it."""

    field_id: str
    field_display_name: str
    field_type: str
    value: FieldValue


class Metadata(Struct, frozen=True):
    id_token: str
    account: Named
    environment: Named
    fields: list[MetadataField]


class SegmentOnOffer(Struct, frozen=True):
    id: int
    name: str


class SegmentsOnOffer(Struct, frozen=True):
    segments: list[SegmentOnOffer]


@dataclass(frozen=True)
class PartnerCall(Call):
    access: Access


class Pace:
    """Slows down a client that registers again and again. In memory: a restart forgets, which is harmless."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._window, self._registered = 0, Counter[str]()

    def count(self, sender: str, now: datetime) -> None:
        """Raises TooManyRegistrations."""
        second = int(now.timestamp())
        with self._lock:
            if second // WINDOW_S != self._window:
                self._window = second // WINDOW_S
                self._registered.clear()
            if self._registered[sender] >= MOST_REGISTRATIONS:
                raise TooManyRegistrations(WINDOW_S - second % WINDOW_S)
            self._registered[sender] += 1


def read_metadata(call: PartnerCall, id_token: str) -> Metadata:
    """Whose segments they are."""
    customer, workspace, environment = call.access.customer, call.access.workspace, call.access.environment
    if id_token != customer.id_token:
        raise UnknownIdToken("id_token: the access token is of another customer", field="id_token")
    value = FieldValue(str(environment.id), environment.name)
    return Metadata(
        customer.id_token,
        Named(str(workspace.account_id), workspace.name),
        Named(str(environment.id), environment.name),
        [MetadataField("workspace", "Workspace", "identity_mapping", value)],
    )


def read_segments_on_offer(call: PartnerCall) -> SegmentsOnOffer:
    """The names of segments, for a list to choose from before the first sync."""
    segments = partner_oauth.list_segments(call.core, call.access)
    return SegmentsOnOffer([SegmentOnOffer(segment.id, segment.name) for segment in segments])


ENDPOINTS = (
    Endpoint("GET", "/metadata/{id_token}", Verb.SEE, read_metadata),
    Endpoint("GET", "/segments", Verb.SEE, read_segments_on_offer),
)


def by_access_token(core: Core, request: Request) -> PartnerCall:
    """Raises NotSignedIn."""
    access = partner_oauth.access_of(core, bearer_of(request))
    customer = access.customer
    return PartnerCall(
        core,
        customer.workspace_id,
        f"partner app {customer.app_id}",
        Role.VIEWER,
        core.clock(),
        access,
        only_environment_id=None,
    )


def answer_as_oauth(error: CairnError) -> Response:
    """RFC 6750, 3: a code for programs and a sentence for their developers."""
    headers = {**NO_STORE}
    code = error.code
    if isinstance(error, NotSignedIn):
        code = "invalid_token"
        headers["WWW-Authenticate"] = f'Bearer error="{code}"'
    elif error.field in METADATA:
        code = METADATA[error.field]
    if (retry_after_s := getattr(error, "retry_after_s", None)) is not None:
        headers["Retry-After"] = str(retry_after_s)
    status = 400 if error.status == 422 else error.status
    said = str(error).encode("ascii", "replace").decode()[:400]
    return _json(status, {"error": code, "error_description": said}, headers)


def partner_surface() -> Surface:
    return Surface(PARTNER, ENDPOINTS, by_access_token, failed=answer_as_oauth)


def partner_routes(core: Core) -> list[BaseRoute]:
    """What is not an endpoint of a surface: these read forms too, and know their callers by client id and secret."""
    pace = Pace()

    def register(request: Request, body: bytes) -> Response:
        pace.count(customer_of(request.client.host if request.client else ""), core.clock())
        new = _read_client(body)
        app, secrets = partner_oauth.register(core, new.redirect_uris, new.webhook_url)
        registered = RegisteredClient(
            app.client_id,
            secrets.client_secret,
            secrets.webhook_secret,
            app.name,
            app.redirect_uris,
            app.webhook_url,
        )
        return _json(201, registered, NO_STORE)

    def exchange(request: Request, body: bytes) -> Response:
        return _answered(partner_oauth.exchange(core, _parameters(request, body)))

    def revoke(request: Request, body: bytes) -> Response:
        return _answered(partner_oauth.revoke(core, _parameters(request, body)))

    def describe(request: Request, body: bytes) -> Response:
        return _json(200, _description(core, request), {"Cache-Control": "no-cache"})

    return [
        _route(f"{OAUTH}/token", "POST", exchange),
        _route(f"{OAUTH}/revoke", "POST", revoke),
        _route(f"{OAUTH}/register", "POST", register),
        _route(WELL_KNOWN, "GET", describe),
    ]


def _route(path: str, method: str, run: Callable[[Request, bytes], Response]) -> Route:
    async def handle(request: Request) -> Response:
        if request.method not in (method, "HEAD" if method == "GET" else method):
            headers = {**NO_STORE, "Allow": method}
            said = {"error": "invalid_request", "error_description": f"this path answers to {method} only"}
            return _json(405, said, headers)
        try:
            body = await _read(request) if method == "POST" else b""
            return await run_in_threadpool(run, request, body)
        except Exception as error:  # the request boundary
            return answer_as_oauth(problem_of(error))

    return Route(path, handle, methods=METHODS)


async def _read(request: Request) -> bytes:
    """Raises LimitExceeded."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise LimitExceeded(f"the body is longer than {MAX_BODY} bytes")
    return bytes(body)


class MalformedRequest(InvalidInput):
    """The body is neither a form nor a JSON object of texts, or names a parameter twice."""

    code = "invalid_request"
    status = 400


def _parameters(request: Request, body: bytes) -> dict[str, str]:
    """Those of the body, with client id and secret from the Authorization header. Raises MalformedRequest."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    sent = _read_json(body) if kind == "application/json" else _read_form(body)
    client_id, secret = basic_of(request)
    if not client_id:
        return sent
    if "client_secret" in sent or sent.get("client_id", client_id) != client_id:
        raise MalformedRequest("authenticate once: in the header or in the body")
    return {**sent, "client_id": client_id, "client_secret": secret}


def _read_json(body: bytes) -> dict[str, str]:
    try:
        check_depth(body)
        return msgspec.json.decode(body, type=dict[str, str])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, CairnError) as error:
        raise MalformedRequest("the body is not a JSON object of texts") from error


def _read_form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise MalformedRequest("the body is not a form; send a form or JSON") from error
    if len(dict(pairs)) < len(pairs):
        raise MalformedRequest("a parameter is repeated; send each once")
    return dict(pairs)


def _read_client(body: bytes) -> NewClient:
    """Raises InvalidInput."""
    try:
        check_depth(body)
        return msgspec.json.decode(body, type=NewClient)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, CairnError) as error:
        what = f"the body is not a client's metadata as JSON: {error}"
        raise InvalidInput(what, field="client_metadata") from error


def _description(core: Core, request: Request) -> Mapping[str, Any]:
    """RFC 8414. The issuer is the address that was asked, where the operator names none."""
    issuer = (core.settings.public_url or f"{request.url.scheme}://{request.url.netloc}").rstrip("/")
    authentication = ["client_secret_post", "client_secret_basic"]
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}{OAUTH}/authorize",
        "token_endpoint": f"{issuer}{OAUTH}/token",
        "revocation_endpoint": f"{issuer}{OAUTH}/revoke",
        "registration_endpoint": f"{issuer}{OAUTH}/register",
        "scopes_supported": [SCOPE],
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": authentication,
        "revocation_endpoint_auth_methods_supported": authentication,
    }


def _answered(answer: OAuthAnswer) -> Response:
    return _json(answer.status, answer.body, answer.headers)


def _json(status: int, body: Any, headers: Mapping[str, str]) -> Response:
    return Response(msgspec.json.encode(body), status, dict(headers), "application/json")

"""The OAuth provider for partner apps: the authorization code flow, on authlib's core, which needs no framework.

Source: contracts/heap.md section 12; RFC 6749, 7636 (S256 only), 7009. A server lives as long as one transaction. What
a request is refused for is an answer to be committed and not an exception: a code's second use revokes what the first
one gave.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_plus

import sqlalchemy as sa
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    ClientMixin,
    InvalidClientError,
    InvalidRequestError,
    OAuth2Request,
    UnsupportedGrantTypeError,
    UnsupportedResponseTypeError,
)
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from msgspec import Struct

from cairn.db.sync_tables import partner_codes
from cairn.errors import InvalidInput, NotFound
from cairn.ids import key_hash, new_token
from cairn.sync import grants
from cairn.sync.addresses import with_parameters
from cairn.sync.partner_apps import PartnerApp, app_of, claim_app, find_client, is_client_secret

SCOPE = "segment"
CODE_LIFETIME = timedelta(seconds=60)
# Used and expired codes are kept so long, so that a second use is noticed.
CODE_KEPT = timedelta(days=1)
MOST_PARAMETERS = 50
# What may stand in a query as it is; everything else is escaped before it goes into a header.
_AS_IT_IS = "%!$'()*+,-./:;=?@_~[]"

Parameters = Sequence[tuple[str, str]]


class ConsentRequest(Struct, frozen=True):
    """What an app asks a member for, checked: it may be answered by leading the browser to `redirect_uri`."""

    app: PartnerApp
    redirect_uri: str
    state: str  # `state=…` exactly as it was sent; empty: none was
    challenge: str  # PKCE, S256; empty: none was sent
    is_claimed: bool  # the app belongs to a workspace; no: it registered itself and is unknown here


class OAuthAnswer(Struct, frozen=True):
    """To a partner's program."""

    status: int
    body: Any  # Any: what JSON can carry
    headers: dict[str, str]


class UnknownApp(NotFound):
    """The client id is of no partner app of this workspace. Start again from the app."""

    code = "unknown_app"


class BadConsentRequest(InvalidInput):
    """The app's request for access is malformed, or leads to an address that is not registered for it."""

    code = "bad_consent_request"
    status = 400


class Returned(Exception):
    """The request is wrong, and the app is to be told so: `location` is where the browser goes."""

    def __init__(self, location: str, app: PartnerApp, *, is_claimed: bool) -> None:
        super().__init__(location)
        self.location, self.app, self.is_claimed = location, app, is_claimed


def read_consent_request(
    connection: sa.Connection, query: str, workspace_id: int, now: datetime
) -> ConsentRequest:
    """`query`: of the address, as it was sent.

    Raises UnknownApp and BadConsentRequest, which lead nowhere, and Returned.
    """
    values = _values(query)
    server = _Server(connection, now)
    client = server.query_client(values.get("client_id", ""))
    if client is None or client.row.workspace_id not in (None, workspace_id):
        raise UnknownApp(
            "client_id: no partner app of this workspace has it; start again from the app, "
            "or register it under Integrations, Partner apps",
            field="client_id",
        )
    app, state, is_claimed = app_of(client.row), raw_state(query), client.row.workspace_id is not None
    try:
        grant = server.get_consent_grant(_Request(values))
    except OAuth2Error as error:
        if not error.redirect_uri:
            raise BadConsentRequest(f"the app's request cannot be accepted: {_said(error)}") from error
        parameters = [("error", str(error.error)), ("error_description", _said(error))]
        location = with_parameters(error.redirect_uri, parameters, raw=state)
        raise Returned(location, app, is_claimed=is_claimed) from error
    challenge = values.get("code_challenge", "")
    return ConsentRequest(app, grant.redirect_uri, state, challenge, is_claimed)


def allow(
    connection: sa.Connection,
    request: ConsentRequest,
    *,
    workspace_id: int,
    environment_id: int,
    by: str,
    now: datetime,
) -> str:
    """Where the browser goes, with a code. The caller has checked role and environment."""
    claim_app(connection, request.app.id, workspace_id, now)
    connection.execute(sa.delete(partner_codes).where(partner_codes.c.expires_at <= now - CODE_KEPT))
    code = new_token("pc")
    row = {
        "code_hash": key_hash(code),
        "app_id": request.app.id,
        "workspace_id": workspace_id,
        "environment_id": environment_id,
        "granted_by": by,
        "redirect_uri": request.redirect_uri,
        "challenge": request.challenge,
        "expires_at": now + CODE_LIFETIME,
    }
    connection.execute(sa.insert(partner_codes).values(**row))
    return with_parameters(request.redirect_uri, [("code", code)], raw=request.state)


def deny(request: ConsentRequest) -> str:
    """Where the browser goes."""
    parameters = [("error", "access_denied"), ("error_description", "The member did not allow it")]
    return with_parameters(request.redirect_uri, parameters, raw=request.state)


def is_authentic(connection: sa.Connection, parameters: Mapping[str, str], now: datetime) -> bool:
    """Whether client id and secret belong together; a look that changes nothing."""
    row = find_client(connection, parameters.get("client_id", ""), now)
    return row is not None and is_client_secret(row, parameters.get("client_secret", ""), now)


def refused_client() -> OAuthAnswer:
    return _answer(*_unknown_client()())


def exchange(connection: sa.Connection, parameters: Mapping[str, str], now: datetime) -> OAuthAnswer:
    """The token endpoint."""
    if not parameters.get("grant_type"):
        return _answer(*InvalidRequestError("Missing 'grant_type' in request.")())
    answer: OAuthAnswer = _Server(connection, now).create_token_response(_Request(parameters))
    return answer


def revoke(connection: sa.Connection, parameters: Mapping[str, str], now: datetime) -> OAuthAnswer:
    """The revocation endpoint. An unknown token is not an error: it is not in force, which is what was asked for."""
    server = _Server(connection, now)
    answer: OAuthAnswer = server.create_endpoint_response("revocation", _Request(parameters))
    return answer


def raw_state(query: str) -> str:
    """`state=…` as the client wrote it, down to how it is escaped; empty: none was sent."""
    for part in query.split("&"):
        name, equals, _ = part.partition("=")
        if equals and unquote_plus(name) == "state":
            return quote(part, safe=_AS_IT_IS)
    return ""


def _values(query: str) -> dict[str, str]:
    """Raises BadConsentRequest. RFC 6749, 3.1: no parameter more than once."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
    except ValueError as error:
        raise BadConsentRequest("the app's request has too many parameters") from error
    values = dict(pairs)
    if len(values) < len(pairs):
        raise BadConsentRequest("the app's request repeats a parameter; each may be sent once")
    # authlib repeats this one in a message that admits only some characters.
    if values.get("response_type", "") != "code":
        values["response_type"] = "unsupported"
    return values


class _Request(OAuth2Request):  # type: ignore[misc]
    """Parameters of any request, from its query or body. TLS is the business of the proxy in front."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        super().__init__("POST", "https://cairn/")
        self.payload = BasicOAuth2Payload(dict(parameters))

    @property
    def form(self) -> dict[str, str]:
        return dict(self.payload.data)


class _Client(ClientMixin):  # type: ignore[misc]
    def __init__(self, row: sa.Row[Any]) -> None:
        self.row = row

    def get_client_id(self) -> str:
        return str(self.row.client_id)

    def get_default_redirect_uri(self) -> None:
        """None: each request names the address, whatever number is registered."""

    def get_allowed_scope(self, scope: str | None) -> str:
        return SCOPE

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in app_of(self.row).redirect_uris

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


class _Code:
    """A stored code, as authlib reads it."""

    code_challenge_method = "S256"

    def __init__(self, row: sa.Row[Any]) -> None:
        self.row = row
        self.code_challenge = row.challenge

    def get_redirect_uri(self) -> str:
        return str(self.row.redirect_uri)

    def get_scope(self) -> str:
        return SCOPE


class _CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]
    server: "_Server"

    @staticmethod
    def validate_authorization_redirect_uri(request: OAuth2Request, client: _Client) -> str:
        """authlib repeats the address in a message that admits only some characters."""
        address = request.payload.redirect_uri
        if not address:
            raise InvalidRequestError("redirect_uri is missing.")
        if not client.check_redirect_uri(address):
            raise InvalidRequestError(
                "redirect_uri is not registered for this app; it must be the same letter by letter."
            )
        return str(address)

    def query_authorization_code(self, code: str, client: _Client) -> _Code | None:
        connection, now = self.server.connection, self.server.now
        row = connection.execute(
            sa.select(partner_codes).where(
                partner_codes.c.code_hash == key_hash(code), partner_codes.c.app_id == client.row.id
            )
        ).first()
        if row is None:
            return None
        if row.grant_id is not None:  # somebody else has used it: what it gave is not safe (RFC 6749, 4.1.2)
            grants.revoke(connection, row.grant_id, now)
            return None
        return _Code(row) if row.expires_at > now else None

    def authenticate_user(self, authorization_code: _Code) -> _Code:
        return authorization_code

    def delete_authorization_code(self, authorization_code: _Code) -> None:
        """It is kept, marked as used: see `_new_token`."""


class _Challenge(CodeChallenge):  # type: ignore[misc]
    """S256 and nothing else; a challenge without a method would be a plain one (RFC 7636, 4.3)."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: _CodeGrant, redirect_uri: str) -> None:
        super().validate_code_challenge(grant, redirect_uri)
        sent = grant.request.payload.data
        if "code_challenge" in sent and sent.get("code_challenge_method") != "S256":
            raise InvalidRequestError("code_challenge_method must be S256.")


class _Token:
    def __init__(self, customer: grants.Customer) -> None:
        self.customer = customer

    def check_client(self, client: _Client) -> bool:
        return self.customer.app_id == int(client.row.id)


class _Revocation(RevocationEndpoint):  # type: ignore[misc]
    CLIENT_AUTH_METHODS = ("client_secret_post",)
    server: "_Server"

    def query_token(self, token_string: str, token_type_hint: str | None) -> _Token | None:
        customer = grants.find_customer(self.server.connection, token_string)
        return None if customer is None else _Token(customer)

    def revoke_token(self, token: _Token, request: OAuth2Request) -> None:
        grants.revoke(self.server.connection, token.customer.grant_id, self.server.now)


class _Server(AuthorizationServer):  # type: ignore[misc]
    def __init__(self, connection: sa.Connection, now: datetime) -> None:
        super().__init__(scopes_supported=[SCOPE])
        self.connection, self.now = connection, now
        self.register_grant(_CodeGrant, [_Challenge(required=False)])
        self.register_endpoint(_Revocation)
        self.register_token_generator("default", self._new_token)

    def query_client(self, client_id: str) -> _Client | None:
        row = find_client(self.connection, client_id, self.now)
        return None if row is None else _Client(row)

    def authenticate_client(
        self, request: OAuth2Request, methods: Sequence[str], endpoint: str = "token"
    ) -> _Client:
        """The same refusal for an unknown client and a wrong secret. Basic authentication was read before."""
        client = self.query_client(request.form.get("client_id", ""))
        secret = request.form.get("client_secret", "")
        if client is None or not is_client_secret(client.row, secret, self.now):
            raise _unknown_client()
        request.auth_method = "client_secret_post"
        return client

    def _new_token(self, *, user: _Code, **_: Any) -> dict[str, str]:  # Any: what authlib hands over
        code = user.row
        customer, token = grants.give(
            self.connection,
            app_id=code.app_id,
            workspace_id=code.workspace_id,
            environment_id=code.environment_id,
            granted_by=code.granted_by,
            now=self.now,
        )
        used = sa.update(partner_codes).where(partner_codes.c.code_hash == code.code_hash)
        self.connection.execute(used.values(grant_id=customer.grant_id))
        return {"access_token": token, "id_token": customer.id_token, "token_type": "bearer"}

    def save_token(self, token: dict[str, str], request: OAuth2Request) -> None:
        """It was, when it was made."""

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> OAuthAnswer:
        return _answer(status, body, headers)

    def handle_error_response(self, request: OAuth2Request, error: OAuth2Error) -> OAuthAnswer:
        if isinstance(error, UnsupportedGrantTypeError):
            _, body, headers = error()
            body["error_description"] = "grant_type must be authorization_code."
            return _answer(400, body, headers)
        return _answer(*error())


def _unknown_client() -> InvalidClientError:
    return InvalidClientError(
        "Client id and secret do not belong together, or there is no such app.", status_code=401
    )


def _said(error: OAuth2Error) -> str:
    if isinstance(error, UnsupportedResponseTypeError):
        return "response_type must be code."
    return str(error.description or error.error)


def _answer(status: int, body: Any, headers: Any) -> OAuthAnswer:
    return OAuthAnswer(status, body, {**dict(headers), "Cache-Control": "no-store", "Pragma": "no-cache"})

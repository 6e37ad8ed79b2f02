"""Who calls: what the Authorization header says, and nothing else. A `Surface` names how its callers are known."""

import base64
import binascii
from collections.abc import Iterable

from starlette.requests import Request

from cairn.app.access import call_of_token
from cairn.app.call import Call
from cairn.app.core import Core
from cairn.errors import CairnError

TOKEN_NAMES = frozenset({"token", "access_token", "api_token", "api_key", "apikey", "key", "authorization"})
PREFIX = "cairn_"  # what our tokens start with


class TokenInQuery(CairnError):
    """Addresses end up in logs, so a token in one is refused. Replace it and use the Authorization header."""

    code = "token_in_query"
    status = 400


def refuse_token_in_query(parameters: Iterable[tuple[str, str]]) -> None:
    """Raises TokenInQuery, without repeating the token."""
    for name, value in parameters:
        if name.lower() in TOKEN_NAMES or value.startswith(PREFIX):
            raise TokenInQuery(
                "a token in the address ends up in logs: replace it by a new one, "
                "and send that as `Authorization: Bearer <token>`",
                field="Authorization",
            )


def by_token(core: Core, request: Request) -> Call:
    """Raises NotSignedIn."""
    return call_of_token(core, bearer_of(request), core.clock())


def bearer_of(request: Request) -> str:
    """The secret of a bearer token; empty: none was sent."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def basic_of(request: Request) -> tuple[str, str]:
    """Name and secret of HTTP's basic authentication; empty: none that can be read was sent."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return "", ""
    name, colon, secret = text.partition(":")
    return (name, secret) if scheme.lower() == "basic" and colon else ("", "")

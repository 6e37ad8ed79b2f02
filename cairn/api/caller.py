"""Who calls: a bearer token in the Authorization header, and nowhere else."""

from collections.abc import Iterable
from datetime import datetime

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


def authenticate(core: Core, header: str, now: datetime) -> Call:
    """Raises NotSignedIn."""
    scheme, _, secret = header.partition(" ")
    return call_of_token(core, secret.strip() if scheme.lower() == "bearer" else "", now)

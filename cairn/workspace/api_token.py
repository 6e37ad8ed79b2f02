"""Tokens with which programs use the API: shown once, kept as a hash and a hint."""

from datetime import datetime, timedelta

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.tables import api_tokens
from cairn.errors import InvalidInput, NotAllowed, NotFound, NotSignedIn
from cairn.ids import key_hash, new_token
from cairn.workspace.environment import get_environment
from cairn.workspace.naming import clean_name
from cairn.workspace.permission import Role

TOUCH_EVERY = timedelta(minutes=1)  # `last_used_at` is for people; a write per request would be waste


class ApiToken(Struct, frozen=True):
    id: int
    workspace_id: int
    name: str
    role: Role
    hint: str  # the last four characters, to tell tokens apart
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None = None  # None: never
    environment_id: int | None = None  # the only one it reaches; None: the whole workspace


class TokenExpired(NotSignedIn):
    """The token was made to end at a date, which is past. Make a new one on the page of API tokens."""

    code = "token_expired"


class TokenOfOneEnvironment(NotAllowed):
    """The token reaches one environment, and the call is about another one or about what environments share."""

    code = "token_of_one_environment"


class TokenNotFound(NotFound):
    """There is no such token in this workspace."""

    code = "token_not_found"


def create_token(
    connection: sa.Connection,
    workspace_id: int,
    *,
    name: str,
    now: datetime,
    role: Role = Role.EDITOR,
    expires_at: datetime | None = None,
    environment_id: int | None = None,
) -> tuple[ApiToken, str]:
    """The token, and the secret, which is never shown again. The caller has checked `require_grant` and that the
    environment is the workspace's. Raises InvalidInput.
    """
    if expires_at is not None and expires_at <= now:
        raise InvalidInput("expires: this date is past; choose a later one, or none", field="expires")
    secret = new_token("cairn")
    row = {
        "workspace_id": workspace_id,
        "name": clean_name(name),
        "role": role.value,
        "hint": secret[-4:],
        "created_at": now,
        "expires_at": expires_at,
        "environment_id": environment_id,
    }
    created = connection.execute(
        sa.insert(api_tokens).values(**row, token_hash=key_hash(secret)).returning(*api_tokens.c)
    ).one()
    return _token(created), secret


def authenticate_token(connection: sa.Connection, secret: str) -> ApiToken | None:
    """Whose secret this is; None when it is nobody's."""
    row = connection.execute(sa.select(api_tokens).where(api_tokens.c.token_hash == key_hash(secret))).first()
    return None if row is None else _token(row)


def check_not_expired(token: ApiToken, now: datetime) -> None:
    """Raises TokenExpired."""
    if token.expires_at is not None and token.expires_at <= now:
        raise TokenExpired(
            f"this token ended on {token.expires_at:%Y-%m-%d %H:%M} UTC; make a new one on the page of API tokens",
            field="Authorization",
        )


def check_reach(
    connection: sa.Connection, workspace_id: int, environment_id: int, environment: str | None
) -> None:
    """Hold a call to a token's environment; None: the call names none. Raises TokenOfOneEnvironment, NotFound."""
    if environment is None:
        raise TokenOfOneEnvironment(
            "this token reaches one environment; name it as `environment`, or use a token of the whole workspace "
            "for what environments share",
            field="environment",
        )
    if get_environment(connection, workspace_id, environment).id != environment_id:
        raise TokenOfOneEnvironment("this token reaches another environment only", field="environment")


def is_touch_due(token: ApiToken, now: datetime) -> bool:
    return token.last_used_at is None or now - token.last_used_at >= TOUCH_EVERY


def touch_token(connection: sa.Connection, token: ApiToken, now: datetime) -> None:
    connection.execute(sa.update(api_tokens).where(api_tokens.c.id == token.id).values(last_used_at=now))


def list_tokens(connection: sa.Connection, workspace_id: int) -> list[ApiToken]:
    query = sa.select(api_tokens).where(api_tokens.c.workspace_id == workspace_id).order_by(api_tokens.c.id)
    return [_token(row) for row in connection.execute(query)]


def delete_token(connection: sa.Connection, workspace_id: int, token_id: int) -> None:
    """Raises TokenNotFound."""
    deleted = connection.execute(
        sa.delete(api_tokens).where(api_tokens.c.workspace_id == workspace_id, api_tokens.c.id == token_id)
    )
    if deleted.rowcount == 0:
        raise TokenNotFound(f"no token {token_id} in this workspace")


def _token(row: sa.Row[tuple[object, ...]]) -> ApiToken:
    return ApiToken(
        row.id,
        row.workspace_id,
        row.name,
        Role(row.role),
        row.hint,
        row.created_at,
        row.last_used_at,
        row.expires_at,
        row.environment_id,
    )

"""A signed-in browser: a random token in its cookie, of which only the hash is stored."""

import hmac
import secrets
from datetime import datetime, timedelta

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.tables import members, sessions
from cairn.errors import NotAllowed
from cairn.ids import key_hash, new_token
from cairn.workspace.member import Member
from cairn.workspace.permission import Role

COOKIE = "cairn_session"
LIFETIME = timedelta(days=30)  # then sign in again; a stolen cookie does not live for ever


class Session(Struct, frozen=True):
    member: Member
    csrf: str  # goes into every form and comes back with every change
    expires_at: datetime


class WrongCsrf(NotAllowed):
    """The form was not sent from a page of this session. Load the page again and repeat the change."""

    code = "wrong_csrf"


def start_session(connection: sa.Connection, member: Member, now: datetime) -> tuple[str, Session]:
    """Sign a member in: the token for the cookie, and the session. Also clears out expired sessions."""
    connection.execute(sa.delete(sessions).where(sessions.c.expires_at <= now))
    token = new_token("cs")
    session = Session(member, secrets.token_urlsafe(32), now + LIFETIME)
    connection.execute(
        sa.insert(sessions).values(
            token_hash=key_hash(token),
            member_id=member.id,
            csrf=session.csrf,
            created_at=now,
            expires_at=session.expires_at,
        )
    )
    return token, session


def read_session(connection: sa.Connection, token: str, now: datetime) -> Session | None:
    """Who sent this cookie; None when it is unknown, expired or signed out."""
    query = (
        sa.select(members, sessions.c.csrf, sessions.c.expires_at)
        .join(members, members.c.id == sessions.c.member_id)
        .where(sessions.c.token_hash == key_hash(token), sessions.c.expires_at > now)
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    member = Member(row.id, row.workspace_id, row.email, row.name, Role(row.role), row.created_at)
    return Session(member, row.csrf, row.expires_at)


def check_csrf(session: Session, token: str) -> None:
    """Raises WrongCsrf."""
    if not hmac.compare_digest(session.csrf.encode(), token.encode(errors="surrogatepass")):
        raise WrongCsrf("the form does not belong to this session; load the page again", field="csrf")


def end_session(connection: sa.Connection, token: str) -> None:
    """Sign out. Idempotent."""
    connection.execute(sa.delete(sessions).where(sessions.c.token_hash == key_hash(token)))


def end_sessions_of(connection: sa.Connection, member_id: int) -> None:
    """Sign a member out everywhere."""
    connection.execute(sa.delete(sessions).where(sessions.c.member_id == member_id))

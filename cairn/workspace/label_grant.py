"""What lets the labeller on a customer's page speak for a member: for one environment, one site and one session.

A link carries a code that is exchanged once, by a page of the named site; what comes back opens the labeller's calls
and nothing else. Both end with the session they were opened in, so with signing out and with another password, and with
any change of the member's role.
"""

from datetime import datetime, timedelta

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.tables import label_grants, members, sessions
from cairn.errors import NotSignedIn
from cairn.ids import key_hash, new_token
from cairn.workspace.member import Member
from cairn.workspace.permission import Role

LIFETIME = timedelta(minutes=30)
CODE_LIFETIME = timedelta(minutes=2)  # a page takes seconds to open
CODE, TOKEN = "lc", "lg"  # prefixes; browser/labeller/main.ts tells them apart


class LabelGrant(Struct, frozen=True):
    member: Member
    environment_id: int
    site: str  # the origin of the pages it is for
    home: str  # Cairn as the member reaches it, without a slash at the end; the page may load us by another name
    until: datetime


class LabelLinkExpired(NotSignedIn):
    """A labeller's link opens once, and lasts half an hour and as long as its session. Open a new one from Events."""

    code = "label_link_expired"


def open_grant(
    connection: sa.Connection,
    member: Member,
    *,
    session_hash: str,
    environment_id: int,
    site: str,
    home: str,
    now: datetime,
) -> str:
    """The code for a link. The caller has checked role, environment and site. Also clears out old grants."""
    connection.execute(sa.delete(label_grants).where(label_grants.c.until <= now))
    code = new_token(CODE)
    connection.execute(
        sa.insert(label_grants).values(
            code_hash=key_hash(code),
            session_hash=session_hash,
            environment_id=environment_id,
            site=site,
            home=home,
            role=member.role.value,
            opened_at=now,
            until=now + LIFETIME,
        )
    )
    return code


def exchange_code(connection: sa.Connection, code: str, *, origin: str, now: datetime) -> str:
    """The token for a code, once. `origin`: of the page that asks. Raises NotSignedIn and LabelLinkExpired."""
    token = new_token(TOKEN)
    exchanged = connection.execute(
        sa.update(label_grants)
        .where(
            label_grants.c.code_hash == key_hash(code),
            label_grants.c.token_hash.is_(None),
            label_grants.c.site == origin,
            label_grants.c.opened_at > now - CODE_LIFETIME,
        )
        .values(token_hash=key_hash(token))
    )
    if exchanged.rowcount != 1:
        taken = sa.select(label_grants.c.code_hash).where(label_grants.c.code_hash == key_hash(code))
        if connection.execute(taken).first() is None:
            raise NotSignedIn("the labeller's link is not one of ours; open it from Events in Cairn")
        raise LabelLinkExpired(
            "this link to the labeller was used or is too old; open a new one from Events in Cairn"
        )
    return token


def read_grant(connection: sa.Connection, token: str, *, origin: str, now: datetime) -> LabelGrant:
    """`origin`: of the page that asks; empty where a browser names none, to its own site.

    Raises NotSignedIn for a token that is not ours, LabelLinkExpired for one that has ended.
    """
    grant, member = label_grants.c, members.c
    row = connection.execute(
        sa.select(
            member.id,
            member.workspace_id,
            member.email,
            member.name,
            member.role,
            member.created_at,
            grant.environment_id,
            grant.site,
            grant.home,
            grant.until,
            grant.role.label("role_then"),
        )
        .select_from(label_grants)
        .join(sessions, sessions.c.token_hash == grant.session_hash)
        .join(members, member.id == sessions.c.member_id)
        .where(grant.token_hash == key_hash(token), grant.until > now, sessions.c.expires_at > now)
    ).first()
    if row is None and not token.startswith(f"{TOKEN}_"):
        raise NotSignedIn("the labeller's link is not one of ours; open it from Events in Cairn")
    if row is None or row.role != row.role_then or (origin and origin != row.site):
        raise LabelLinkExpired("this link to the labeller has ended; open a new one from Events in Cairn")
    who = Member(row.id, row.workspace_id, row.email, row.name, Role(row.role), row.created_at)
    return LabelGrant(who, row.environment_id, row.site, row.home, row.until)

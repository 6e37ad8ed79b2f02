"""The colleagues who log in: creating them, checking their password, their roles.

Passwords are kept as argon2id hashes. Checking one takes tens of milliseconds on purpose: do it on a reading
connection, so that the only writer is not held up.
"""

from datetime import datetime
from functools import cache

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from msgspec import Struct

from cairn.db.tables import members, sessions
from cairn.errors import Conflict, InvalidInput, NotFound, NotSignedIn
from cairn.workspace.naming import clean_email, clean_name
from cairn.workspace.permission import Role, require_grant

MIN_PASSWORD = 10  # characters
MAX_PASSWORD = 1000  # characters; hashing more is work an attacker chooses
_HASHER = PasswordHasher()  # argon2id with RFC 9106's low-memory parameters


class Member(Struct, frozen=True):
    id: int
    workspace_id: int
    email: str
    name: str
    role: Role
    created_at: datetime


class WrongPassword(NotSignedIn):
    """E-mail address and password do not belong together. Which of the two is wrong is not told."""

    code = "wrong_password"


class EmailTaken(Conflict):
    """A member with this e-mail address exists. Sign in with it, or use another one."""

    code = "email_taken"


class LastOwner(Conflict):
    """A workspace keeps at least one owner. Make somebody else an owner first."""

    code = "last_owner"


class MemberNotFound(NotFound):
    """There is no such member in this workspace."""

    code = "member_not_found"


def create_member(
    connection: sa.Connection,
    workspace_id: int,
    *,
    email: str,
    name: str,
    password: str,
    role: Role,
    now: datetime,
) -> Member:
    """Raises InvalidInput and EmailTaken. The caller has checked `require_grant`."""
    email = clean_email(email)
    name = clean_name(name)
    check_password(password, email=email)
    if connection.execute(sa.select(members.c.id).where(members.c.email == email)).first():
        raise EmailTaken(
            f"a member with e-mail {email!r} exists; sign in, or use another address", field="email"
        )
    row = {
        "workspace_id": workspace_id,
        "email": email,
        "name": name,
        "role": role.value,
        "created_at": now,
        "password_hash": _hash(password),
    }
    return _member(connection.execute(sa.insert(members).values(**row).returning(*members.c)).one())


def check_password(password: str, *, email: str) -> None:
    """Raises InvalidInput when a password is too easy to guess."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise InvalidInput(
            f"password: expected {MIN_PASSWORD} to {MAX_PASSWORD} characters, got {len(password)}",
            field="password",
        )
    if password.strip().lower() in (email, email.partition("@")[0]):
        raise InvalidInput("password: it may not be the e-mail address; choose another one", field="password")


def authenticate(connection: sa.Connection, *, email: str, password: str) -> Member:
    """The member with this address and password. Raises WrongPassword.

    Guarantee: an unknown address takes as long as a wrong password, so timing does not tell them apart.
    """
    nobody = _hash_of_nobody()
    try:
        address = clean_email(email)
    except InvalidInput:
        address = ""
    row = connection.execute(sa.select(members).where(members.c.email == address)).first()
    fits = _fits(row.password_hash if row else nobody, password[:MAX_PASSWORD])
    if row is None or not fits:
        raise WrongPassword("e-mail address and password do not belong together", field="password")
    return _member(row)


def get_member(connection: sa.Connection, workspace_id: int, member_id: int) -> Member:
    """Raises MemberNotFound."""
    row = connection.execute(
        sa.select(members).where(members.c.workspace_id == workspace_id, members.c.id == member_id)
    ).first()
    if row is None:
        raise MemberNotFound(f"no member {member_id} in this workspace")
    return _member(row)


def find_member(connection: sa.Connection, email: str) -> Member:
    """In whichever workspace, for somebody who sits at the machine. Raises MemberNotFound."""
    row = connection.execute(sa.select(members).where(members.c.email == clean_email(email))).first()
    if row is None:
        raise MemberNotFound(f"nobody signs in as {email!r}", field="email")
    return _member(row)


def list_members(connection: sa.Connection, workspace_id: int) -> list[Member]:
    query = sa.select(members).where(members.c.workspace_id == workspace_id).order_by(members.c.id)
    return [_member(row) for row in connection.execute(query)]


def set_role(connection: sa.Connection, workspace_id: int, member_id: int, role: Role, *, by: Role) -> Member:
    """Raises MemberNotFound, RoleTooLow and LastOwner."""
    member = get_member(connection, workspace_id, member_id)
    require_grant(by, member.role)
    require_grant(by, role)
    if role is not Role.OWNER:
        _keep_an_owner(connection, member)
    connection.execute(sa.update(members).where(members.c.id == member.id).values(role=role.value))
    return get_member(connection, workspace_id, member_id)


def set_password(connection: sa.Connection, member: Member, password: str) -> None:
    """Also ends every session of the member: anyone who knew the old password is signed out. Raises InvalidInput."""
    check_password(password, email=member.email)
    connection.execute(
        sa.update(members).where(members.c.id == member.id).values(password_hash=_hash(password))
    )
    connection.execute(sa.delete(sessions).where(sessions.c.member_id == member.id))


def remove_member(connection: sa.Connection, workspace_id: int, member_id: int, *, by: Role) -> None:
    """Raises MemberNotFound, RoleTooLow and LastOwner."""
    member = get_member(connection, workspace_id, member_id)
    require_grant(by, member.role)
    _keep_an_owner(connection, member)
    connection.execute(sa.delete(members).where(members.c.id == member.id))


def _keep_an_owner(connection: sa.Connection, member: Member) -> None:
    others = sa.select(members.c.id).where(
        members.c.workspace_id == member.workspace_id,
        members.c.role == Role.OWNER.value,
        members.c.id != member.id,
    )
    if member.role is Role.OWNER and connection.execute(others).first() is None:
        raise LastOwner(f"{member.email} is the only owner; make somebody else an owner first", field="role")


def _hash(password: str) -> str:
    return _HASHER.hash(password.encode(errors="surrogatepass"))


@cache
def _hash_of_nobody() -> str:
    return _hash("nobody has this password")


def _fits(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash, password.encode(errors="surrogatepass"))
    except (VerificationError, InvalidHashError):
        return False


def _member(row: sa.Row[tuple[object, ...]]) -> Member:
    return Member(row.id, row.workspace_id, row.email, row.name, Role(row.role), row.created_at)

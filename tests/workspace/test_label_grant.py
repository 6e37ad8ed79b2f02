"""Grants of labeller links: a code opens once, for one site; what it is exchanged for ends with its session."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from cairn.errors import NotSignedIn
from cairn.ids import key_hash
from cairn.workspace.environment import list_environments
from cairn.workspace.label_grant import (
    CODE_LIFETIME,
    LIFETIME,
    LabelLinkExpired,
    exchange_code,
    open_grant,
    read_grant,
)
from cairn.workspace.member import Member, create_member, remove_member, set_password, set_role
from cairn.workspace.permission import Role
from cairn.workspace.sealed import Seal
from cairn.workspace.session import end_session, end_sessions_of, start_session
from cairn.workspace.workspace import create_workspace

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SITE, HOME = "https://shop.example", "https://cairn.example"


@dataclass
class Opened:
    connection: sa.Connection
    member: Member
    session: str
    environment_id: int

    def code(self, now: datetime = NOW) -> str:
        return open_grant(
            self.connection,
            self.member,
            session_hash=key_hash(self.session),
            environment_id=self.environment_id,
            site=SITE,
            home=HOME,
            now=now,
        )

    def token(self) -> str:
        return exchange_code(self.connection, self.code(), origin=SITE, now=NOW)


@pytest.fixture
def opened(connection: sa.Connection, seal: Seal) -> Opened:
    workspace = create_workspace(connection, seal, name="Shop", now=NOW)
    member = create_member(
        connection,
        workspace.id,
        email="ed@shop.test",
        name="Ed",
        password="correct horse battery",
        role=Role.EDITOR,
        now=NOW,
    )
    session, _ = start_session(connection, member, NOW)
    return Opened(connection, member, session, list_environments(connection, workspace.id)[0].id)


def test_a_code_is_exchanged_once_by_a_page_of_its_site(opened: Opened) -> None:
    code = opened.code()
    with pytest.raises(LabelLinkExpired):
        exchange_code(opened.connection, code, origin="https://evil.example", now=NOW)
    token = exchange_code(opened.connection, code, origin=SITE, now=NOW)
    with pytest.raises(LabelLinkExpired):
        exchange_code(opened.connection, code, origin=SITE, now=NOW)
    grant = read_grant(opened.connection, token, origin=SITE, now=NOW)
    assert (grant.member.id, grant.environment_id, grant.site, grant.home, grant.until) == (
        opened.member.id,
        opened.environment_id,
        SITE,
        HOME,
        NOW + LIFETIME,
    )
    assert read_grant(opened.connection, token, origin="", now=NOW) == grant
    with pytest.raises(LabelLinkExpired):
        read_grant(opened.connection, token, origin="https://evil.example", now=NOW)


def test_codes_and_grants_end_by_themselves(opened: Opened) -> None:
    with pytest.raises(LabelLinkExpired):
        exchange_code(opened.connection, opened.code(), origin=SITE, now=NOW + CODE_LIFETIME)
    token = opened.token()
    read_grant(opened.connection, token, origin=SITE, now=NOW + LIFETIME - timedelta(seconds=1))
    with pytest.raises(LabelLinkExpired):
        read_grant(opened.connection, token, origin=SITE, now=NOW + LIFETIME)


ENDINGS: dict[str, Callable[[Opened], object]] = {
    "signed out": lambda o: end_session(o.connection, o.session),
    "signed out everywhere": lambda o: end_sessions_of(o.connection, o.member.id),
    "another password": lambda o: set_password(o.connection, o.member, "another correct horse"),
    "a lower role": lambda o: set_role(
        o.connection, o.member.workspace_id, o.member.id, Role.VIEWER, by=Role.OWNER
    ),
    "a higher role": lambda o: set_role(
        o.connection, o.member.workspace_id, o.member.id, Role.ADMIN, by=Role.OWNER
    ),
    "removed": lambda o: remove_member(o.connection, o.member.workspace_id, o.member.id, by=Role.OWNER),
}


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS.keys())
def test_a_grant_ends_with_its_session(opened: Opened, end: Callable[[Opened], object]) -> None:
    token, code = opened.token(), opened.code()
    end(opened)
    with pytest.raises(LabelLinkExpired):
        read_grant(opened.connection, token, origin=SITE, now=NOW)
    with pytest.raises(NotSignedIn):
        read_grant(
            opened.connection,
            exchange_code(opened.connection, code, origin=SITE, now=NOW),
            origin=SITE,
            now=NOW,
        )


@pytest.mark.parametrize("token", ["", "x.y", "é", "lc_code", "l" * 5000])
def test_nothing_else_is_a_grant(opened: Opened, token: str) -> None:
    with pytest.raises(NotSignedIn):
        read_grant(opened.connection, token, origin=SITE, now=NOW)

"""The first visit, signing in, sessions, roles: who is let in, and who is not."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from cairn.db.tables import members, metadata, sessions
from cairn.errors import InvalidInput, NotSignedIn
from cairn.ids import key_hash
from cairn.workspace.member import (
    EmailTaken,
    LastOwner,
    Member,
    MemberNotFound,
    WrongPassword,
    authenticate,
    create_member,
    get_member,
    list_members,
    remove_member,
    set_password,
    set_role,
)
from cairn.workspace.permission import Role, RoleTooLow
from cairn.workspace.sealed import Seal
from cairn.workspace.session import LIFETIME, WrongCsrf, check_csrf, end_session, read_session, start_session
from cairn.workspace.throttle import PER_ADDRESS, PER_EMAIL, PER_PAIR, WINDOW, Throttle, TooManyAttempts
from cairn.workspace.workspace import SignUpClosed, Workspace, create_workspace, is_first_visit, sign_up

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PASSWORD = "correct horse battery"


@pytest.fixture
def owner(connection: sa.Connection, seal: Seal) -> Member:
    return _sign_up(connection, seal)[1]


def _sign_up(connection: sa.Connection, seal: Seal, **changes: str) -> tuple[Workspace, Member]:
    given = {"workspace_name": "Shop", "email": "ann@example.com", "name": "Ann", "password": PASSWORD}
    return sign_up(connection, seal, **{**given, **changes}, now=NOW)


def _add(connection: sa.Connection, owner: Member, role: Role, email: str = "bob@example.com") -> Member:
    return create_member(
        connection, owner.workspace_id, email=email, name="Bob", password=PASSWORD, role=role, now=NOW
    )


def test_first_visitor_becomes_owner_and_the_door_closes(connection: sa.Connection, seal: Seal) -> None:
    assert is_first_visit(connection)
    workspace, owner = _sign_up(connection, seal, email="  Ann@Example.COM ")
    assert (owner.email, owner.role, owner.workspace_id) == ("ann@example.com", Role.OWNER, workspace.id)
    assert not is_first_visit(connection)
    with pytest.raises(SignUpClosed):
        _sign_up(connection, seal, email="eve@example.com")
    assert [member.email for member in list_members(connection, workspace.id)] == ["ann@example.com"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        pytest.param({"password": "too short"}, "password", id="nine characters"),
        pytest.param({"password": "x" * 1001}, "password", id="too long to hash"),
        pytest.param({"password": "Ann@example.com"}, "password", id="password is the e-mail"),
        pytest.param(
            {"email": "a.long.name@example.com", "password": "A.Long.Name"}, "password", id="local part"
        ),
        pytest.param({"email": "ann"}, "email", id="no at sign"),
        pytest.param({"email": "a@b@c"}, "email", id="two at signs"),
        pytest.param({"email": "ann@exa mple.com"}, "email", id="space"),
        pytest.param({"email": "ann@example.com\r\nBcc: all@example.com"}, "email", id="header injection"),
        pytest.param({"email": "a@" + "b" * 260}, "email", id="too long"),
        pytest.param({"name": " "}, "name", id="no name"),
        pytest.param({"name": "n" * 101}, "name", id="long name"),
        pytest.param({"name": "Ann https://evil.example"}, "name", id="link in a name"),
        pytest.param({"name": "Ann\x00"}, "name", id="control character"),
        pytest.param({"name": "An\u2028n"}, "name", id="line separator"),
        pytest.param({"name": "Ann \u202egpj.exe"}, "name", id="turned text"),
        pytest.param({"name": "Ann\ud800"}, "name", id="half a character in a name"),
        pytest.param({"email": "ann\ud800@example.com"}, "email", id="half a character in an e-mail"),
        pytest.param({"workspace_name": ""}, "workspace_name", id="no workspace name"),
    ],
)
def test_bad_input_is_refused_by_field(
    connection: sa.Connection, seal: Seal, change: dict[str, str], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        _sign_up(connection, seal, **change)
    assert refused.value.field == field
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("email", "password", "enters"),
    [
        pytest.param("ann@example.com", PASSWORD, True, id="right"),
        pytest.param(" ANN@example.com", PASSWORD, True, id="e-mail written differently"),
        pytest.param("ann@example.com", PASSWORD.upper(), False, id="wrong password"),
        pytest.param("ann@example.com", "", False, id="no password"),
        pytest.param("bob@example.com", PASSWORD, False, id="unknown e-mail"),
        pytest.param("not an address", PASSWORD, False, id="no e-mail at all"),
        pytest.param("bob@example.com", "nobody has this password", False, id="the stand-in's own password"),
        pytest.param("ann@example.com' OR 1=1 --", PASSWORD, False, id="SQL"),
        pytest.param("ann@example.com", PASSWORD + "\x00", False, id="zero byte"),
        pytest.param("\ud800@example.com", "\ud800" * 10, False, id="half characters"),
    ],
)
def test_sign_in(connection: sa.Connection, owner: Member, email: str, password: str, enters: bool) -> None:
    if enters:
        assert authenticate(connection, email=email, password=password) == owner
    else:
        with pytest.raises(WrongPassword) as refused:
            authenticate(connection, email=email, password=password)
        assert isinstance(refused.value, NotSignedIn)
        assert str(refused.value) == "e-mail address and password do not belong together", (
            "never which of the two"
        )


def test_password_is_kept_as_argon2id(connection: sa.Connection, owner: Member) -> None:
    stored = connection.execute(sa.select(members.c.password_hash)).scalar_one()
    assert stored.startswith("$argon2id$") and PASSWORD not in stored


def test_session_lives_thirty_days_and_is_stored_hashed(connection: sa.Connection, owner: Member) -> None:
    token, session = start_session(connection, owner, NOW)
    row = connection.execute(sa.select(sessions)).one()
    assert row.token_hash == key_hash(token)
    assert token not in repr(row)
    found = read_session(connection, token, NOW + LIFETIME - SECOND)
    assert found is not None and (found.member, found.csrf) == (owner, session.csrf)
    assert read_session(connection, token, NOW + LIFETIME) is None
    assert read_session(connection, token + "x", NOW) is None
    assert read_session(connection, row.token_hash, NOW) is None, "the stored hash opens nothing"
    start_session(connection, owner, NOW + LIFETIME)
    assert len(connection.execute(sa.select(sessions)).all()) == 1, "expired sessions are cleared out"


def test_sign_out_ends_one_session_and_a_new_password_all(connection: sa.Connection, owner: Member) -> None:
    first, second = (start_session(connection, owner, NOW)[0] for _ in range(2))
    end_session(connection, first)
    end_session(connection, first)
    assert read_session(connection, first, NOW) is None
    assert read_session(connection, second, NOW) is not None
    set_password(connection, owner, "another good one")
    assert read_session(connection, second, NOW) is None
    assert authenticate(connection, email=owner.email, password="another good one") == owner
    with pytest.raises(WrongPassword):
        authenticate(connection, email=owner.email, password=PASSWORD)


def test_changed_role_counts_at_once(connection: sa.Connection, owner: Member) -> None:
    bob = _add(connection, owner, Role.ADMIN)
    token, _ = start_session(connection, bob, NOW)
    set_role(connection, owner.workspace_id, bob.id, Role.VIEWER, by=Role.OWNER)
    session = read_session(connection, token, NOW)
    assert session is not None and session.member.role is Role.VIEWER
    remove_member(connection, owner.workspace_id, bob.id, by=Role.OWNER)
    assert read_session(connection, token, NOW) is None


@pytest.mark.parametrize("given", ["", "x", "ü", "\ud800"])
def test_form_of_another_session_is_refused(connection: sa.Connection, owner: Member, given: str) -> None:
    _, session = start_session(connection, owner, NOW)
    _, other = start_session(connection, owner, NOW)
    check_csrf(session, session.csrf)
    for wrong in (given, other.csrf):
        with pytest.raises(WrongCsrf):
            check_csrf(session, wrong)


def test_email_is_taken_whatever_its_spelling(connection: sa.Connection, owner: Member) -> None:
    with pytest.raises(EmailTaken):
        _add(connection, owner, Role.VIEWER, email="ANN@EXAMPLE.COM")


def test_nobody_reaches_above_their_own_role(connection: sa.Connection, owner: Member) -> None:
    bob = _add(connection, owner, Role.EDITOR)
    workspace_id = owner.workspace_id
    with pytest.raises(RoleTooLow):
        set_role(connection, workspace_id, bob.id, Role.OWNER, by=Role.ADMIN)
    with pytest.raises(RoleTooLow):
        set_role(connection, workspace_id, owner.id, Role.VIEWER, by=Role.ADMIN)
    with pytest.raises(RoleTooLow):
        remove_member(connection, workspace_id, owner.id, by=Role.ADMIN)
    assert set_role(connection, workspace_id, bob.id, Role.ADMIN, by=Role.ADMIN).role is Role.ADMIN


def test_last_owner_stays(connection: sa.Connection, owner: Member) -> None:
    with pytest.raises(LastOwner):
        set_role(connection, owner.workspace_id, owner.id, Role.ADMIN, by=Role.OWNER)
    with pytest.raises(LastOwner):
        remove_member(connection, owner.workspace_id, owner.id, by=Role.OWNER)
    bob = _add(connection, owner, Role.OWNER)
    remove_member(connection, owner.workspace_id, owner.id, by=Role.OWNER)
    assert list_members(connection, owner.workspace_id) == [bob]


def test_members_of_another_workspace_do_not_exist(
    connection: sa.Connection, seal: Seal, owner: Member
) -> None:
    other = create_workspace(connection, seal, name="Other", now=NOW)
    before = connection.execute(sa.select(members)).all()
    with pytest.raises(MemberNotFound):
        get_member(connection, other.id, owner.id)
    with pytest.raises(MemberNotFound):
        set_role(connection, other.id, owner.id, Role.VIEWER, by=Role.OWNER)
    with pytest.raises(MemberNotFound):
        remove_member(connection, other.id, owner.id, by=Role.OWNER)
    assert list_members(connection, other.id) == []
    assert connection.execute(sa.select(members)).all() == before


def _attempts(throttle: Throttle, email: str, address: str, now: datetime) -> int:
    """How many attempts are let through."""
    let_through = 0
    while True:
        try:
            throttle.attempt(email, address, now)
        except TooManyAttempts:
            return let_through
        let_through += 1


def test_guessing_is_slowed_down_per_pair_address_and_email() -> None:
    throttle = Throttle()
    assert _attempts(throttle, "ann@example.com", "1.1.1.1", NOW) == PER_PAIR
    assert _attempts(throttle, " ANN@example.com", "1.1.1.1", NOW) == 0, "spelling does not help"
    assert _attempts(throttle, "ann@example.com", "2.2.2.2", NOW) == PER_PAIR, "the owner elsewhere gets in"
    assert _attempts(throttle, "ann@example.com", "1.1.1.1", NOW + WINDOW) == PER_PAIR

    one_address = Throttle()
    tried = sum(_attempts(one_address, f"{n}@example.com", "1.1.1.1", NOW) for n in range(PER_ADDRESS))
    assert tried == PER_ADDRESS
    many_addresses = Throttle()
    tried = sum(_attempts(many_addresses, "ann@example.com", f"10.0.0.{n}", NOW) for n in range(PER_EMAIL))
    assert tried == PER_EMAIL


@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param("ＡＮＮ＠example.com", id="full-width letters"),
        pytest.param("ann@example．com", id="full-width dot"),
        pytest.param("𝐚𝐧𝐧@example.com", id="mathematical letters"),
        pytest.param("ⓐⓝⓝ@EXAMPLE.com", id="circled letters"),
        pytest.param("\u3000ann@example.com\u00a0", id="other spaces"),
    ],
)
def test_every_spelling_the_look_up_accepts_is_one_account(
    connection: sa.Connection, owner: Member, spelling: str
) -> None:
    assert authenticate(connection, email=spelling, password=PASSWORD) == owner
    throttle = Throttle()
    assert _attempts(throttle, "ann@example.com", "1.1.1.1", NOW) == PER_PAIR
    assert _attempts(throttle, spelling, "1.1.1.1", NOW) == 0


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:fffe", True),
        ("203.0.113.8", "::ffff:203.0.113.8", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("203.0.113.8", "203.0.113.9", False),
    ],
)
def test_neighbours_in_one_ipv6_network_share_their_attempts(first: str, second: str, is_one: bool) -> None:
    throttle = Throttle()
    assert _attempts(throttle, "ann@example.com", first, NOW) == PER_PAIR
    assert _attempts(throttle, "ann@example.com", second, NOW) == (0 if is_one else PER_PAIR)


def test_refusal_says_how_long_to_wait_and_does_not_lengthen_it() -> None:
    throttle = Throttle()
    _attempts(throttle, "ann@example.com", "1.1.1.1", NOW)
    for minute in range(15):
        with pytest.raises(TooManyAttempts) as refused:
            throttle.attempt("ann@example.com", "1.1.1.1", NOW + timedelta(minutes=minute))
        assert refused.value.retry_after_s == (15 - minute) * 60
    throttle.attempt("ann@example.com", "1.1.1.1", NOW + WINDOW)


def test_right_password_forgets_mistyped_ones() -> None:
    throttle = Throttle()
    for _ in range(3):
        for _ in range(PER_PAIR - 1):
            throttle.attempt("ann@example.com", "1.1.1.1", NOW)
        throttle.succeeded("Ann@example.com", "1.1.1.1")
    assert _attempts(throttle, "ann@example.com", "1.1.1.1", NOW) == PER_PAIR


def test_every_table_is_reached_from_a_workspace() -> None:
    """A tenant's rows must go with the tenant; what has no foreign key is named here on purpose."""
    free = {name for name, table in metadata.tables.items() if not table.foreign_keys}
    assert free == {"workspaces", "user_map", "merges", "jobs", "aliases", "published_changes"}

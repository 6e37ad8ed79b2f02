"""Who comes in: signing up, in and out, a browser's session, a program's token, and what else opens the door."""

from datetime import datetime

from msgspec import Struct

from cairn.app.call import Call
from cairn.app.core import Core
from cairn.errors import NotSignedIn
from cairn.workspace import api_token, label_grant, member, session, workspace
from cairn.workspace.api_token import ApiToken
from cairn.workspace.environment import (
    PRODUCTION,
    Environment,
    EnvironmentNotFound,
    get_environment,
    list_environments,
    list_projects,
)
from cairn.workspace.label_grant import LabelGrant
from cairn.workspace.member import Member
from cairn.workspace.permission import Role, Verb, may, require, require_grant
from cairn.workspace.session import Session
from cairn.workspace.workspace import Workspace


class Entered(Struct, frozen=True):
    """A signed-in browser, and what its member may switch between."""

    session: Session
    workspace: Workspace
    environments: list[tuple[str, Environment]]  # with the project's name

    def environment(self, name: str) -> Environment:
        """By id, or by key: of several projects with that key the oldest. Raises EnvironmentNotFound."""
        is_id = name.isascii() and name.isdigit() and len(name) <= 9
        for _, environment in self.environments:
            if environment.id == int(name) if is_id else environment.key == name:
                return environment
        raise EnvironmentNotFound(
            "no such environment in this workspace; name it by its id or key", field="environment"
        )


def enter(core: Core, cookie: str, now: datetime) -> Entered | None:
    """Who sent this session cookie; None: nobody who is signed in."""
    if not cookie:
        return None
    with core.reading() as connection:
        signed_in = session.read_session(connection, cookie, now)
        if signed_in is None:
            return None
        workspace_id = signed_in.member.workspace_id
        projects = {project.id: project.name for project in list_projects(connection, workspace_id)}
        environments = list_environments(connection, workspace_id)
        return Entered(
            session=signed_in,
            workspace=workspace.get_workspace(connection, workspace_id),
            environments=[(projects[environment.project_id], environment) for environment in environments],
        )


def is_first_visit(core: Core) -> bool:
    """Nobody has signed up yet."""
    with core.reading() as connection:
        return workspace.is_first_visit(connection)


def sign_up(
    core: Core,
    now: datetime,
    *,
    workspace_name: str,
    email: str,
    name: str,
    password: str,
    time_zone: str = "UTC",
) -> str:
    """The first visitor owns the first workspace. The session's cookie. Raises SignUpClosed and InvalidInput."""
    with core.writing() as connection:
        made, owner = workspace.sign_up(
            connection,
            core.seal,
            workspace_name=workspace_name,
            email=email,
            name=name,
            password=password,
            now=now,
            time_zone=time_zone,
        )
        cookie, _ = session.start_session(connection, owner, now)
        environments = list_environments(connection, made.id)
    for environment in environments:
        core.changed(environment.id)
    return cookie


def sign_in(core: Core, now: datetime, *, email: str, password: str) -> str:
    """The session's cookie. Raises WrongPassword."""
    member = check_password(core, email=email, password=password)
    with core.writing() as connection:
        return session.start_session(connection, member, now)[0]


def check_password(core: Core, *, email: str, password: str) -> Member:
    """Raises WrongPassword."""
    with core.reading() as connection:
        return member.authenticate(connection, email=email, password=password)


def change_password(core: Core, known: Member, password: str, now: datetime) -> str:
    """Ends every session of the member; the cookie of a new one. Raises InvalidInput."""
    with core.writing() as connection:
        member.set_password(connection, known, password)
        return session.start_session(connection, known, now)[0]


def sign_out(core: Core, cookie: str) -> None:
    """Idempotent."""
    with core.writing() as connection:
        session.end_session(connection, cookie)


def call_of_token(core: Core, secret: str, now: datetime) -> Call:
    """Raises NotSignedIn and TokenExpired."""
    token = None
    if secret:
        with core.reading() as connection:
            token = api_token.authenticate_token(connection, secret)
    if token is None:
        raise NotSignedIn(
            "send a token of this workspace as `Authorization: Bearer <token>`", field="Authorization"
        )
    api_token.check_not_expired(token, now)
    if api_token.is_touch_due(token, now):
        with core.writing() as connection:
            api_token.touch_token(connection, token, now)
    return _call_of(core, token, now)


def _call_of(core: Core, token: api_token.ApiToken, now: datetime) -> Call:
    by = f"token {token.name}"
    return Call(core, token.workspace_id, by, token.role, now, only_environment_id=token.environment_id)


def call_of_app_key(core: Core, app_id: str, secret: str, now: datetime) -> Call | None:
    """A token that may delete users, named beside the app id of its workspace's main environment, as Heap has it.

    None: it is not one.
    """
    with core.reading() as connection:
        token = api_token.authenticate_token(connection, secret)
        if token is None or not may(token.role, Verb.DELETE_USERS):
            return None
        api_token.check_not_expired(token, now)
        main = [
            environment
            for environment in list_environments(connection, token.workspace_id)
            if environment.key == PRODUCTION
        ]
    if not main or main[0].app_id != app_id:
        return None
    return _call_of(core, token, now)


def call_of_grant(core: Core, token: str, origin: str, now: datetime) -> tuple[Call, Environment, LabelGrant]:
    """Whose labeller it is, and where. `origin`: of the page. Raises NotSignedIn and EnvironmentNotFound."""
    with core.reading() as connection:
        grant = label_grant.read_grant(connection, token, origin=origin, now=now)
        member = grant.member
        require(member.role, Verb.SEE)
        environment = get_environment(connection, member.workspace_id, grant.environment_id)
    return Call(core, member.workspace_id, member.email, member.role, now), environment, grant


def exchange_label_code(core: Core, code: str, origin: str, now: datetime) -> tuple[Call, str]:
    """Whose link it is, and the token for its code. Raises LabelLinkExpired."""
    with core.writing() as connection:
        token = label_grant.exchange_code(connection, code, origin=origin, now=now)
        member = label_grant.read_grant(connection, token, origin=origin, now=now).member
    return Call(core, member.workspace_id, member.email, member.role, now), token


def is_operator(call: Call) -> bool:
    """Whether a member may see what belongs to no workspace. Nobody's data is shown to another workspace."""
    if call.by in call.core.settings.operators:
        return True
    with call.reading() as connection:
        return call.role is Role.OWNER and not workspace.has_several_workspaces(connection)


def list_members(call: Call) -> list[Member]:
    with call.reading() as connection:
        return member.list_members(connection, call.workspace_id)


def list_tokens(call: Call) -> list[ApiToken]:
    with call.reading() as connection:
        return api_token.list_tokens(connection, call.workspace_id)


def add_token(
    call: Call,
    *,
    name: str,
    role: Role,
    expires_at: datetime | None = None,
    environment_id: int | None = None,
) -> str:
    """The secret, which is never shown again. Raises InvalidInput, and RoleTooLow for a role above the caller's."""
    require_grant(call.role, role)
    with call.writing() as connection:
        return api_token.create_token(
            connection,
            call.workspace_id,
            name=name,
            role=role,
            now=call.now,
            expires_at=expires_at,
            environment_id=environment_id,
        )[1]


def remove_token(call: Call, token_id: int) -> None:
    """Raises TokenNotFound."""
    with call.writing() as connection:
        api_token.delete_token(connection, call.workspace_id, token_id)

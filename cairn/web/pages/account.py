"""What belongs to the member who is signed in, and the workspace's API tokens."""

from starlette.responses import Response

from cairn.errors import CairnError, InvalidInput
from cairn.web.guard import set_cookie
from cairn.web.visit import Page, Visit, get, place_of, post
from cairn.workspace.api_token import create_token, delete_token, list_tokens
from cairn.workspace.member import authenticate, list_members, set_password
from cairn.workspace.permission import Role, Verb, require_grant
from cairn.workspace.session import COOKIE, LIFETIME, start_session


def account_page(visit: Visit, error: CairnError | None = None) -> Response:
    with visit.reading() as connection:
        colleagues = list_members(connection, visit.workspace_id)
    return visit.page(
        "account.html", status=error.status if error else 200, error=error, colleagues=colleagues
    )


def change_password(visit: Visit) -> Response:
    """Ends every session of the member, and starts a new one for this browser."""
    member, form = visit.signed_in.member, visit.form
    try:
        visit.throttle.attempt(member.email, visit.address, visit.now)
        with visit.reading() as connection:
            authenticate(connection, email=member.email, password=form("current"))
        if form("password") != form("again"):
            raise InvalidInput("again: the two new passwords differ; type the same one twice", field="again")
        with visit.core.writing() as connection:
            set_password(connection, member, form("password"))
            token, _ = start_session(connection, member, visit.now)
    except CairnError as error:
        if error.code == "wrong_password":
            error = InvalidInput("that is not your current password", field="current")
        return account_page(visit, error)
    visit.throttle.succeeded(member.email, visit.address)
    response = visit.go(visit.url("/account"), "Your password is changed, and other browsers are signed out.")
    set_cookie(response, COOKIE, token, secure=visit.is_secure, max_age_s=int(LIFETIME.total_seconds()))
    return response


def tokens_page(visit: Visit, error: CairnError | None = None, secret: str = "") -> Response:
    with visit.reading() as connection:
        tokens = list_tokens(connection, visit.workspace_id)
    roles = [(role.value, role.value) for role in Role if _may_grant(visit, role)]
    return visit.page(
        "tokens.html", status=error.status if error else 200, error=error, secret=secret, tokens=tokens, roles=roles,
        place=place_of(visit), may_change=visit.may(Verb.CHANGE_TOKENS),
    )  # fmt: skip


def _may_grant(visit: Visit, role: Role) -> bool:
    try:
        require_grant(visit.signed_in.member.role, role)
    except CairnError:
        return False
    return True


def add_token(visit: Visit) -> Response:
    """Answers with the page itself: the secret is shown once and kept nowhere, so there is nothing to go on to."""
    try:
        role = next((each for each in Role if each == visit.form("role")), Role.VIEWER)
        require_grant(visit.signed_in.member.role, role)
        with visit.core.writing() as connection:
            _, secret = create_token(
                connection, visit.workspace_id, name=visit.form("name"), role=role, now=visit.now
            )
    except CairnError as error:
        return tokens_page(visit, error)
    return tokens_page(visit, secret=secret)


def remove_token(visit: Visit) -> Response:
    with visit.core.writing() as connection:
        delete_token(connection, visit.workspace_id, visit.number("token_id"))
    return visit.go(
        visit.url("/tokens"), "The token is deleted. Programs that used it are refused from now on."
    )


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/account", account_page),
    post("/env/{environment}/account/password", change_password, Verb.SEE),
    get("/env/{environment}/tokens", tokens_page),
    post("/env/{environment}/tokens", add_token, Verb.CHANGE_TOKENS),
    post("/env/{environment}/tokens/{token_id}/delete", remove_token, Verb.CHANGE_TOKENS),
)

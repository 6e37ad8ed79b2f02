"""What belongs to the member who is signed in, and the workspace's API tokens."""

from datetime import UTC, datetime, timedelta

from starlette.responses import Response

from cairn.app import access
from cairn.errors import CairnError, InvalidInput
from cairn.web.guard import set_cookie
from cairn.web.portion import portion
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.permission import Role, Verb, require_grant
from cairn.workspace.session import COOKIE, LIFETIME


def account_page(visit: Visit, error: CairnError | None = None) -> Response:
    return visit.page(
        "account.html",
        status=error.status if error else 200,
        error=error,
        colleagues=portion(access.list_members(visit.call), visit.ask("from")),
    )


def change_password(visit: Visit) -> Response:
    """Ends every session of the member, and starts a new one for this browser."""
    member, form = visit.signed_in.member, visit.form
    try:
        visit.throttle.attempt(member.email, visit.address, visit.now)
        access.check_password(visit.core, email=member.email, password=form("current"))
        if form("password") != form("again"):
            raise InvalidInput("again: the two new passwords differ; type the same one twice", field="again")
        cookie = access.change_password(visit.core, member, form("password"), visit.now)
    except CairnError as error:
        if error.code == "wrong_password":
            error = InvalidInput("that is not your current password", field="current")
        return account_page(visit, error)
    visit.throttle.succeeded(member.email, visit.address)
    response = visit.go(visit.url("/account"), "Your password is changed, and other browsers are signed out.")
    set_cookie(response, COOKIE, cookie, secure=visit.is_secure, max_age_s=int(LIFETIME.total_seconds()))
    return response


def tokens_page(visit: Visit, error: CairnError | None = None) -> Response:
    secret = visit.once.take(visit.ask("made"), visit.csrf, visit.now)
    tokens = access.list_tokens(visit.call)
    roles = [(role.value, role.value) for role in Role if _may_grant(visit, role)]
    return visit.page(
        "tokens.html",
        environments={environment.id: environment.name for _, environment in visit.environments},
        near={environment.id: environment.name for _, environment in visit.near},
        status=error.status if error else 200,
        error=error,
        secret=secret,
        roles=roles,
        tokens=portion(tokens, visit.ask("from")),
        may_change=visit.may(Verb.CHANGE_TOKENS),
    )


def _may_grant(visit: Visit, role: Role) -> bool:
    try:
        require_grant(visit.signed_in.member.role, role)
    except CairnError:
        return False
    return True


def add_token(visit: Visit) -> Response:
    """Leads on to the page, which shows the secret once: loading it again makes no second token."""
    try:
        role = next((choice for choice in Role if choice == visit.form("role")), Role.VIEWER)
        secret = access.add_token(
            visit.call,
            name=visit.form("name"),
            role=role,
            expires_at=_end_of(visit),
            environment_id=_only(visit),
        )
    except CairnError as error:
        return tokens_page(visit, error)
    return visit.go(f"{visit.url('/tokens')}?made={visit.once.keep(secret, visit.csrf, visit.now)}")


def _end_of(visit: Visit) -> datetime | None:
    """The end of the chosen day where the member is. Raises InvalidInput."""
    text = visit.form("expires").strip()
    try:
        day = datetime.strptime(text, "%Y-%m-%d") if text else None
        return None if day is None else (day.replace(tzinfo=visit.zone) + timedelta(days=1)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            "expires: write the date as 2027-12-31, or leave it empty", field="expires"
        ) from error


def _only(visit: Visit) -> int | None:
    """The only environment the token is to reach. Raises InvalidInput."""
    chosen = visit.form("only")
    if not chosen:
        return None
    ids = {str(environment.id): environment.id for _, environment in visit.environments}
    if chosen not in ids:
        raise InvalidInput(
            "only: this environment is not of your workspace; choose one of the list", field="only"
        )
    return ids[chosen]


def remove_token(visit: Visit) -> Response:
    access.remove_token(visit.call, visit.number("token_id"))
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

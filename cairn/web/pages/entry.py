"""Coming in and going out: the first visit, signing in and out, and changing the environment."""

from urllib.parse import quote

from starlette.responses import Response

from cairn.errors import CairnError, NotFound
from cairn.web.guard import safe_next, set_cookie
from cairn.web.visit import Page, Visit, address_of, get, post
from cairn.workspace.environment import get_environment, list_environments
from cairn.workspace.member import Member, authenticate
from cairn.workspace.permission import Verb
from cairn.workspace.session import COOKIE, LIFETIME, end_session, start_session
from cairn.workspace.workspace import is_first_visit, sign_up


def start(visit: Visit) -> Response:
    if visit.session is not None:
        return visit.go(visit.url(environment=visit.environments[0][1]))
    with visit.reading() as connection:
        first = is_first_visit(connection)
    return visit.go("/sign-up" if first else "/sign-in")


def sign_up_page(visit: Visit, error: CairnError | None = None) -> Response:
    with visit.reading() as connection:
        if not is_first_visit(connection):
            return visit.go("/sign-in")
    return visit.page("sign_up.html", status=error.status if error else 200, error=error)


def sign_up_now(visit: Visit) -> Response:
    form = visit.form
    try:
        with visit.core.writing() as connection:
            workspace, owner = sign_up(
                connection, visit.core.seal, workspace_name=form("workspace_name"), email=form("email"),
                name=form("name"), password=form("password"), now=visit.now,
            )  # fmt: skip
            token, _ = start_session(connection, owner, visit.now)
            made = list_environments(connection, workspace.id)
    except CairnError as error:
        return sign_up_page(visit, error)
    for environment in made:
        visit.core.changed(environment.id)
    return _signed_in(visit, token, "/")


def sign_in_page(visit: Visit, error: CairnError | None = None) -> Response:
    back = safe_next(visit.ask("next") or visit.form("next"))
    if visit.session is not None and error is None:
        return visit.go(back)
    with visit.reading() as connection:
        if is_first_visit(connection):
            return visit.go("/sign-up")
    return visit.page("sign_in.html", status=error.status if error else 200, error=error, back=back)


def sign_in_now(visit: Visit) -> Response:
    email = visit.form("email")
    try:
        visit.throttle.attempt(email, visit.address, visit.now)
        member = _known(visit, email)
    except CairnError as error:
        return sign_in_page(visit, error)
    visit.throttle.succeeded(email, visit.address)
    with visit.core.writing() as connection:
        token, _ = start_session(connection, member, visit.now)
    return _signed_in(visit, token, safe_next(visit.form("next")))


def _known(visit: Visit, email: str) -> Member:
    with visit.reading() as connection:
        return authenticate(connection, email=email, password=visit.form("password"))


def _signed_in(visit: Visit, token: str, back: str) -> Response:
    response = visit.go(back)
    set_cookie(response, COOKIE, token, secure=visit.is_secure, max_age_s=int(LIFETIME.total_seconds()))
    return response


def sign_out(visit: Visit) -> Response:
    with visit.core.writing() as connection:
        end_session(connection, visit.request.cookies.get(COOKIE, ""))
    response = visit.go("/sign-in", "You are signed out.")
    response.delete_cookie(COOKIE)
    return response


def switch(visit: Visit) -> Response:
    """To the same page of another environment; to its list when that page belongs to one environment."""
    with visit.reading() as connection:
        target = get_environment(connection, visit.workspace_id, visit.ask("environment"))
    parts = visit.ask("to").split("/")
    left = next(
        (each for _, each in visit.environments if parts[2:3] == [address_of(each, visit.environments)]), None
    )
    rest = [part for part in parts[3:] if part]
    shared = (
        left is not None and left.project_id == target.project_id and rest[:1] in (["flags"], ["segments"])
    )
    kept = rest[: 2 if shared else 1]
    if any(part in (".", "..") for part in kept):
        raise NotFound("there is no page at this address")
    return visit.go(visit.url("".join(f"/{quote(part, safe='')}" for part in kept), target))


PAGES: tuple[Page, ...] = (
    get("/", start, None),
    get("/sign-up", sign_up_page, None),
    post("/sign-up", sign_up_now, None),
    get("/sign-in", sign_in_page, None),
    post("/sign-in", sign_in_now, None),
    post("/sign-out", sign_out, Verb.SEE),
    get("/switch", switch),
)

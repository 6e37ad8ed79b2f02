"""Coming in and going out: the first visit, signing in and out, and changing the environment."""

from urllib.parse import quote

from starlette.responses import Response

from cairn.app import access
from cairn.clock import to_ms
from cairn.errors import CairnError, NotFound
from cairn.web.guard import read_cookie, safe_next, set_cookie
from cairn.web.kept_form import opened
from cairn.web.visit import Page, Visit, address_of, get, post
from cairn.workspace.permission import Verb
from cairn.workspace.session import COOKIE, LIFETIME

LONGEST_NEXT = 8_000  # characters; what a partner app sends along belongs to the address to come back to


def start(visit: Visit) -> Response:
    if visit.session is not None:
        return visit.go(visit.url(environment=visit.environments[0][1]))
    return visit.go("/sign-up" if access.is_first_visit(visit.core) else "/sign-in")


def sign_up_page(visit: Visit, error: CairnError | None = None) -> Response:
    if not access.is_first_visit(visit.core):
        return visit.go("/sign-in")
    return visit.page("sign_up.html", status=error.status if error else 200, error=error)


def sign_up_now(visit: Visit) -> Response:
    form = visit.form
    try:
        cookie = access.sign_up(
            visit.core,
            visit.now,
            workspace_name=form("workspace_name"),
            email=form("email"),
            name=form("name"),
            password=form("password"),
            time_zone=visit.browser_zone,
        )
    except CairnError as error:
        return sign_up_page(visit, error)
    return _signed_in(visit, cookie, "/")


def sign_in_page(visit: Visit, error: CairnError | None = None) -> Response:
    back = safe_next(visit.ask("next", longest=LONGEST_NEXT) or visit.form("next"))
    if visit.session is not None and error is None:
        return visit.go(back)
    if access.is_first_visit(visit.core):
        return visit.go("/sign-up")
    return visit.page(
        "sign_in.html", status=error.status if error else 200, error=error, back=back, kept=visit.form("kept")
    )


def sign_in_now(visit: Visit) -> Response:
    email = visit.form("email")
    try:
        visit.throttle.attempt(email, visit.address, visit.now)
        cookie = access.sign_in(visit.core, visit.now, email=email, password=visit.form("password"))
    except CairnError as error:
        return sign_in_page(visit, error)
    visit.throttle.succeeded(email, visit.address)
    return _signed_in(visit, cookie, safe_next(visit.form("next")), visit.form("kept"))


def _signed_in(visit: Visit, token: str, back: str, sealed: str = "") -> Response:
    """On to where they wanted to go, or back to the form they had filled in when their session was over."""
    entered = access.enter(visit.core, token, visit.now) if sealed else None
    kept = opened(visit.core.seal, sealed, entered.session, to_ms(visit.now)) if entered else None
    if entered and kept:
        visit.session = entered.session
        response = visit.resume(kept)
    else:
        response = visit.go(back)
    set_cookie(response, COOKIE, token, secure=visit.is_secure, max_age_s=int(LIFETIME.total_seconds()))
    return response


def sign_out(visit: Visit) -> Response:
    access.sign_out(visit.core, read_cookie(visit.request, COOKIE))
    response = visit.go("/sign-in", "You are signed out.")
    response.delete_cookie(COOKIE)
    return response


def switch(visit: Visit) -> Response:
    """To the same page of another environment; to its list when that page belongs to one environment."""
    target = visit.call.environment(visit.ask("environment"))
    parts = visit.ask("to").split("/")
    left = next(
        (
            environment
            for _, environment in visit.environments
            if parts[2:3] == [address_of(environment, visit.environments)]
        ),
        None,
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

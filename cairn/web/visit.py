"""One request to a page: who sent it, in which environment, and how it is answered.

A page is a plain function from a `Visit` to a response, run in a thread. `Door` does the rest for all of them:
session, forged-request token, role, environment, and turning errors into pages.
"""

import hmac
import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any
from urllib.parse import quote, unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from cairn.app.access import enter, is_operator
from cairn.app.call import Call
from cairn.app.core import Core
from cairn.calendar import zone_names, zone_of
from cairn.errors import CairnError, NotFound, NotSignedIn
from cairn.web.form import Form, read_form
from cairn.web.guard import (
    NONCE,
    came_from_elsewhere,
    content_security_policy,
    is_secure,
    read_cookie,
    set_cookie,
)
from cairn.web.render import templates
from cairn.web.snippets import Place
from cairn.workspace.environment import Environment
from cairn.workspace.permission import Verb, may, require
from cairn.workspace.session import COOKIE, Session, WrongCsrf, check_csrf
from cairn.workspace.throttle import Throttle
from cairn.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

NOTICE = "cairn_notice"  # one sentence for the next page: what was just done
VISITOR = "cairn_visitor"  # the token of forms that are sent before there is a session
ZONE = "cairn_zone"  # the browser's time zone, set by app.js
SIGN_IN = "/sign-in"


@dataclass
class Visit:
    """What a page function gets. Outside a session only `core`, `request`, `form` and `now` are of use."""

    core: Core
    request: Request
    form: Form
    now: datetime
    session: Session | None = None
    workspace: Workspace | None = None
    environments: list[tuple[str, Environment]] = field(default_factory=list)  # with the project's name
    environment: Environment | None = None
    visitor: str = ""
    throttle: Throttle = field(default_factory=Throttle)

    @property
    def nonce(self) -> str:
        """What a script of the page must carry to run."""
        return str(getattr(self.request.state, NONCE, ""))

    @property
    def section(self) -> str:
        """Which part of the navigation this is: `users`, `flags`, …; empty at home."""
        parts = self.request.url.path.split("/")
        return parts[3] if len(parts) > 3 and parts[1] == "env" else ""

    @property
    def address(self) -> str:
        """The client's address. The edge knows it and tells us; the core's server takes its word (server.py)."""
        return self.request.client.host if self.request.client else ""

    @property
    def is_secure(self) -> bool:
        return is_secure(self.core.settings.public_url, self.request.url.scheme)

    @property
    def signed_in(self) -> Session:
        if self.session is None:
            raise NotSignedIn("sign in to see this page")
        return self.session

    @property
    def is_operator(self) -> bool:
        """Whether this member may see what belongs to no workspace."""
        return is_operator(self.call)

    @property
    def here(self) -> Environment:
        if self.environment is None:
            raise NotFound("no such environment")
        return self.environment

    @property
    def workspace_id(self) -> int:
        return self.signed_in.member.workspace_id

    @property
    def csrf(self) -> str:
        return self.session.csrf if self.session else self.visitor

    @property
    def browser_zone(self) -> str:
        """The time zone the browser names; UTC when it names none that is known here."""
        name = unquote(read_cookie(self.request, ZONE))
        return name if name in zone_names() else "UTC"

    @property
    def zone(self) -> tzinfo:
        """In which the page shows times: the project's, so that all its members see the same days."""
        return self.environment.zone if self.environment else zone_of(self.browser_zone)

    def ask(self, name: str, default: str = "", *, longest: int = 500) -> str:
        """A value of the address, trimmed and bounded."""
        return self.request.query_params.get(name, default).strip()[:longest]

    def part(self, name: str) -> str:
        return str(self.request.path_params[name])

    def number(self, name: str) -> int:
        """A number in the path. Raises NotFound."""
        text = self.part(name)
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise NotFound(f"there is nothing at this address: {text[:40]!r} is not a number")
        return int(text)

    @property
    def seen_edition(self) -> int | None:
        """The version that the form was filled in from; None: the form does not say."""
        text = self.form.line("edition")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None

    def may(self, verb: Verb) -> bool:
        return self.session is not None and may(self.session.member.role, verb)

    def url(self, path: str = "", environment: Environment | None = None) -> str:
        return f"/env/{quote(address_of(environment or self.here, self.environments))}{path}"

    @property
    def call(self) -> Call:
        """What use cases ask of a request."""
        member = self.signed_in.member
        return Call(self.core, member.workspace_id, member.email, member.role, self.now)

    def page(
        self,
        template: str,
        *,
        status: int = 200,
        form_targets: Sequence[str] = (),
        **values: Any,  # Any: what the template shows
    ) -> Response:
        """`form_targets`: addresses of other sites that a form of this page may lead to."""
        html = templates().get_template(template).render(
            visit=self, now=self.now, zone=self.zone, notice=unquote(read_cookie(self.request, NOTICE)), **values
        )  # fmt: skip
        response = HTMLResponse(html, status_code=status)
        if form_targets:
            policy = content_security_policy(self.nonce, form_targets=form_targets)
            response.headers["Content-Security-Policy"] = policy
        if read_cookie(self.request, NOTICE):
            response.delete_cookie(NOTICE)
        return response

    def go(self, url: str, notice: str = "") -> Response:
        """After a change: on to a page, which shows the notice once."""
        response = RedirectResponse(url, status_code=303)
        if notice:
            set_cookie(response, NOTICE, quote(notice[:500]), secure=self.is_secure, max_age_s=30)
        return response

    def leave(self, url: str, notice: str = "") -> Response:
        """As `go`, also for a form that htmx sent for part of a page: the browser goes there as a whole."""
        response = self.go(url, notice)
        if self.request.headers.get("hx-request"):
            response.status_code = 200
            del response.headers["location"]
            response.headers["HX-Redirect"] = url
        return response


def address_of(environment: Environment, environments: Iterable[tuple[str, Environment]]) -> str:
    """An environment's name in addresses: its key, or its id when an older project has the same key."""
    first = next((each for _, each in environments if each.key == environment.key), environment)
    return environment.key if first.id == environment.id else str(environment.id)


def place_of(visit: Visit, *, write_key: str = "", sdk_key: str = "") -> Place:
    """What snippets of this environment are filled with."""
    asked = visit.request.url
    url = visit.core.settings.public_url or f"{asked.scheme}://{asked.netloc}"
    account_id = visit.workspace.account_id if visit.workspace else 0
    return Place(url.rstrip("/"), visit.here.app_id, write_key, sdk_key, account_id)


PageFunction = Callable[[Visit], Response]


@dataclass(frozen=True)
class Page:
    """One address. `verb` is what the member must be allowed to do; None: the page is for the signed out."""

    path: str
    answer: PageFunction
    verb: Verb | None = Verb.SEE
    method: str = "GET"


def get(path: str, answer: PageFunction, verb: Verb | None = Verb.SEE) -> Page:
    return Page(path, answer, verb)


def post(path: str, answer: PageFunction, verb: Verb | None = Verb.DEFINE) -> Page:
    return Page(path, answer, verb, "POST")


class Door:
    """Lets requests in to the pages of one core."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._throttle = Throttle()

    def route(self, page: Page) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                form = await read_form(request) if page.method == "POST" else Form()
            except CairnError as error:
                return await run_in_threadpool(self.failed, self.visit(request, Form()), error)
            return await run_in_threadpool(self.answer, page, request, form)

        return Route(page.path, endpoint, methods=[page.method])

    def answer(self, page: Page, request: Request, form: Form) -> Response:
        visit = self.visit(request, form)
        try:
            visit = self.enter(visit, page.verb)
            if page.method == "POST":
                self._check_sent_by_us(visit)
            response = page.answer(visit)
        except CairnError as error:
            response = self.failed(visit, error)
        except Exception:  # the request boundary: one broken page must not look like a broken product
            logger.exception("page_failed", extra={"path": request.url.path})
            response = visit.page("error.html", status=500, error=None)
        if visit.session is None and read_cookie(request, VISITOR) != visit.visitor:
            set_cookie(response, VISITOR, visit.visitor, secure=visit.is_secure)
        return response

    def enter(self, visit: Visit, verb: Verb | None) -> Visit:
        """Fill in who and where. Raises NotSignedIn, RoleTooLow and EnvironmentNotFound."""
        token = read_cookie(visit.request, COOKIE)
        entered = enter(self._core, token, visit.now)
        if entered is None:
            if verb is None:
                return visit
            raise NotSignedIn("sign in to see this page")
        visit.session, visit.workspace = entered.session, entered.workspace
        visit.environments = entered.environments
        if "environment" in visit.request.path_params:
            visit.environment = entered.environment(visit.part("environment"))
        if verb is not None:
            require(entered.session.member.role, verb)
        return visit

    def visit(self, request: Request, form: Form | None = None) -> Visit:
        visitor = read_cookie(request, VISITOR) or secrets.token_urlsafe(24)
        return Visit(
            self._core, request, form or Form(), self._core.clock(), visitor=visitor, throttle=self._throttle
        )

    def _check_sent_by_us(self, visit: Visit) -> None:
        given = visit.form("csrf") or visit.request.headers.get("x-csrf-token", "")
        if came_from_elsewhere(visit.request):
            raise WrongCsrf("the form was sent from another site; open the page here and repeat the change")
        if visit.session is not None:
            check_csrf(visit.session, given)
        elif not hmac.compare_digest(visit.visitor.encode(), given.encode(errors="surrogatepass")):
            raise WrongCsrf("the form is too old; load the page again and repeat it", field="csrf")

    def failed(self, visit: Visit, error: CairnError) -> Response:
        if isinstance(error, NotSignedIn) and visit.session is None:
            return self._to_sign_in(visit)
        return visit.page("error.html", status=error.status, error=error)

    def _to_sign_in(self, visit: Visit) -> Response:
        path = visit.request.url.path
        wanted = f"{path}?{visit.request.url.query}" if visit.request.url.query else path
        back = f"?next={quote(wanted, safe='')}" if visit.request.method == "GET" and path != "/" else ""
        if visit.request.headers.get("hx-request"):
            return Response(status_code=401, headers={"HX-Redirect": SIGN_IN})
        return RedirectResponse(f"{SIGN_IN}{back}", status_code=303)

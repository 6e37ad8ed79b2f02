"""One request to a page: who sent it, in which environment, and how it is answered.

A page is a plain function from a `Visit` to a response, run in a thread. `Door` (door.py) does all the rest for it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cairn.app.access import is_operator
from cairn.app.call import Call
from cairn.app.core import Core
from cairn.app.waiting import running_of
from cairn.calendar import zone_names, zone_of
from cairn.clock import to_ms
from cairn.errors import NotFound, NotSignedIn
from cairn.lists.upload import Upload
from cairn.web.form import Form
from cairn.web.guard import (
    NONCE,
    content_security_policy,
    is_secure,
    read_cookie,
    safe_next,
    set_cookie,
)
from cairn.web.kept_form import KeptForm, author_of, keep
from cairn.web.once import ShownOnce
from cairn.web.render import templates
from cairn.web.snippets import Client
from cairn.workspace.environment import Environment
from cairn.workspace.permission import Verb, may
from cairn.workspace.session import Session
from cairn.workspace.throttle import Throttle
from cairn.workspace.workspace import Workspace

NOTICE = "cairn_notice"  # one sentence for the next page: what was just done
VISITOR = "cairn_visitor"  # the token of forms that are sent before there is a session
ZONE = "cairn_zone"  # the browser's time zone, set by browser/islands/zone.ts
MOST_NEAR = 100  # environments to choose from


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
    root: str = ""  # of the addresses in this environment; empty until one is asked for
    throttle: Throttle = field(default_factory=Throttle)
    once: ShownOnce = field(default_factory=ShownOnce)
    upload: Upload | None = None  # the file of a form that has one

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
    def near(self) -> list[tuple[str, Environment]]:
        """The first environments of the workspace, and this one: what a list to choose from holds."""
        first = self.environments[:MOST_NEAR]
        if self.environment is None or any(environment.id == self.environment.id for _, environment in first):
            return first
        return [*first, *(pair for pair in self.environments if pair[1].id == self.environment.id)]

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
    def author(self) -> str:
        """Who the forms of this page are made for."""
        return author_of(self.core.seal, self.session) if self.session else ""

    @property
    def is_partial(self) -> bool:
        """htmx asks, and puts the answer into the page that is there."""
        return bool(self.request.headers.get("hx-request"))

    @property
    def came_from(self) -> str:
        """The page of ours that this request was sent from; the start page where the browser does not say."""
        parts = urlsplit(
            self.request.headers.get("hx-current-url") or self.request.headers.get("referer", "")
        )
        is_ours = parts.netloc == self.request.url.netloc
        return safe_next(f"{parts.path}?{parts.query}" if parts.query else parts.path) if is_ours else "/"

    def keep_form(self) -> KeptForm | None:
        """What this request sent, for when it cannot be taken now."""
        return keep(self.core.seal, self.form, self.request.url.path, to_ms(self.now))

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
        if (
            environment is None
        ):  # a page has hundreds of links, a workspace may have thousands of environments
            self.root = self.root or f"/env/{quote(address_of(self.here, self.environments))}"
            return f"{self.root}{path}"
        return f"/env/{quote(address_of(environment, self.environments))}{path}"

    @property
    def call(self) -> Call:
        """What use cases ask of a request."""
        member = self.signed_in.member
        return Call(
            self.core,
            member.workspace_id,
            member.email,
            member.role,
            self.now,
            running=running_of(self.request),
        )

    def page(
        self,
        template: str,
        *,
        status: int = 200,
        form_targets: Sequence[str] = (),
        **values: Any,  # Any: what the template shows
    ) -> Response:
        """`form_targets`: addresses of other sites that a form of this page may lead to."""
        html = (
            templates()
            .get_template(template)
            .render(
                visit=self,
                now=self.now,
                zone=self.zone,
                notice=unquote(read_cookie(self.request, NOTICE)),
                **values,
            )
        )
        response = HTMLResponse(html, status_code=status)
        if form_targets:
            policy = content_security_policy(self.nonce, form_targets=form_targets)
            response.headers["Content-Security-Policy"] = policy
        if read_cookie(self.request, NOTICE):
            response.delete_cookie(NOTICE)
        return response

    def resume(self, kept: KeptForm, *, status: int = 200) -> Response:
        """Back to a form that was kept while its author signed in."""
        return self.page("resume.html", status=status, kept=kept)

    def go(self, url: str, notice: str = "") -> Response:
        """After a change: on to a page, which shows the notice once."""
        response = RedirectResponse(url, status_code=303)
        if notice:
            set_cookie(response, NOTICE, quote(notice[:500]), secure=self.is_secure, max_age_s=30)
        return response

    def leave(self, url: str, notice: str = "") -> Response:
        """As `go`, also for a form that htmx sent for part of a page: the browser goes there as a whole."""
        response = self.go(url, notice)
        if self.is_partial:
            response.status_code = 200
            del response.headers["location"]
            response.headers["HX-Redirect"] = url
        return response


def address_of(environment: Environment, environments: Iterable[tuple[str, Environment]]) -> str:
    """An environment's name in addresses: its key, or its id when an older project has the same key."""
    first = next(
        (candidate for _, candidate in environments if candidate.key == environment.key), environment
    )
    return environment.key if first.id == environment.id else str(environment.id)


def client_of(visit: Visit, *, write_key: str = "", sdk_key: str = "") -> Client:
    """What snippets of this environment are filled with."""
    request_url = visit.request.url
    url = visit.core.settings.public_url or f"{request_url.scheme}://{request_url.netloc}"
    account_id = visit.workspace.account_id if visit.workspace else 0
    return Client(url.rstrip("/"), visit.here.app_id, write_key, sdk_key, account_id)


PageFunction = Callable[[Visit], Response]


@dataclass(frozen=True)
class Page:
    """One address. `verb` is what the member must be allowed to do; None: the page is for the signed out."""

    path: str
    answer: PageFunction
    verb: Verb | None = Verb.SEE
    method: str = "GET"
    takes_file: bool = False  # its form is sent as multipart/form-data


def get(path: str, answer: PageFunction, verb: Verb | None = Verb.SEE) -> Page:
    return Page(path, answer, verb)


def post(path: str, answer: PageFunction, verb: Verb | None = Verb.DEFINE) -> Page:
    return Page(path, answer, verb, "POST")


def post_file(path: str, answer: PageFunction, verb: Verb = Verb.DEFINE) -> Page:
    return Page(path, answer, verb, "POST", takes_file=True)

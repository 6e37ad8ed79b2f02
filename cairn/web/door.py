"""Lets requests in to pages: who asks, whether they may, whether the form is ours, and what an error shows."""

import hmac
import logging
import secrets
from typing import Any
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from cairn.app.access import enter
from cairn.app.core import Core
from cairn.app.waiting import while_waited_for
from cairn.errors import CairnError, NotSignedIn
from cairn.lists.upload import Upload
from cairn.web.form import Form, read_form
from cairn.web.guard import (
    came_from_elsewhere,
    read_cookie,
    set_cookie,
)
from cairn.web.kept_form import sealed
from cairn.web.once import ShownOnce
from cairn.web.upload import uploaded
from cairn.web.visit import VISITOR, Page, Visit
from cairn.workspace.edits import StaleVersion
from cairn.workspace.permission import Verb, require
from cairn.workspace.session import COOKIE, WrongCsrf, check_csrf
from cairn.workspace.throttle import Throttle

logger = logging.getLogger(__name__)

SIGN_IN = "/sign-in"
# Fields that say what a form's sender has seen.
SEEN = frozenset({"edition", "order"})


class Door:
    """Lets requests in to the pages of one core."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._throttle = Throttle()
        self._once = ShownOnce()

    def route(self, page: Page) -> Route:
        async def endpoint(request: Request) -> Response:
            if page.takes_file:
                return await self._answer_file(page, request)
            try:
                form = await read_form(request) if page.method == "POST" else Form()
            except CairnError as error:
                return await run_in_threadpool(self.failed, self.visit(request, Form()), error)
            return await while_waited_for(request, lambda: self.answer(page, request, form))

        return Route(page.path, endpoint, methods=[page.method])

    async def _answer_file(self, page: Page, request: Request) -> Response:
        """Nothing is received before it is known who sends it, and that they may."""
        try:
            await run_in_threadpool(lambda: self.enter(self.visit(request), page.verb))
            async with uploaded(self._core, request) as (form, upload):
                return await while_waited_for(request, lambda: self.answer(page, request, form, upload))
        except CairnError as error:
            return await run_in_threadpool(self.failed, self.visit(request), error)

    def answer(self, page: Page, request: Request, form: Form, upload: Upload | None = None) -> Response:
        visit = self.visit(request, form)
        visit.upload = upload
        try:
            visit = self.enter(visit, page.verb)
            if page.method == "POST":
                self._check_sent_by_us(visit)
            response = page.answer(visit)
        except WrongCsrf as error:
            response = self._form_of_an_older_session(visit, error)
        except CairnError as error:
            response = self.failed(visit, error)
        except Exception:  # the request boundary: one broken page must not look like a broken product
            logger.exception("page_failed", extra={"path": request.url.path})
            response = visit.page(
                "error.html", status=500, error=None, **_error_values(visit, CairnError("failed"))
            )
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
            self._core,
            request,
            form or Form(),
            self._core.clock(),
            visitor=visitor,
            throttle=self._throttle,
            once=self._once,
        )

    def _check_sent_by_us(self, visit: Visit) -> None:
        token = visit.form("csrf") or visit.request.headers.get("x-csrf-token", "")
        if came_from_elsewhere(visit.request):
            raise WrongCsrf("the form was sent from another site; open the page here and repeat the change")
        if visit.session is not None:
            check_csrf(visit.session, token)
        elif not hmac.compare_digest(visit.visitor.encode(), token.encode(errors="surrogatepass")):
            raise WrongCsrf("the form is too old; load the page again and repeat it", field="csrf")

    def failed(self, visit: Visit, error: CairnError) -> Response:
        if isinstance(error, NotSignedIn) and visit.session is None:
            return self._to_sign_in(visit)
        return visit.page("error.html", status=error.status, error=error, **_error_values(visit, error))

    def _form_of_an_older_session(self, visit: Visit, error: WrongCsrf) -> Response:
        """Its own author may send it after signing in again, once they have seen it."""
        kept = None if came_from_elsewhere(visit.request) else visit.keep_form()
        if kept is None or visit.session is None or kept.member_id != visit.session.member.id:
            return self.failed(visit, error)
        return _send_whole(error.status) if visit.is_partial else visit.resume(kept, status=error.status)

    def _to_sign_in(self, visit: Visit) -> Response:
        is_form = visit.request.method == "POST"
        path, query = visit.request.url.path, visit.request.url.query
        target = visit.came_from if visit.is_partial or is_form else f"{path}?{query}" if query else path
        address = f"{SIGN_IN}?next={quote(target, safe='')}" if target != "/" else SIGN_IN
        kept = visit.keep_form() if is_form and not came_from_elsewhere(visit.request) else None
        if kept is not None and visit.is_partial:
            return _send_whole(401)
        if visit.is_partial:
            return Response(status_code=401, headers={"HX-Redirect": address})
        if kept is None:
            return RedirectResponse(address, status_code=303)
        return visit.page(
            "sign_in.html", status=401, error=None, back=target, kept=sealed(visit.core.seal, kept)
        )


def _send_whole(status: int) -> Response:
    """islands/unsent.ts then sends the form as a browser does without it, for an answer that is a page of its own."""
    return Response(status_code=status, headers={"X-Send-Whole": "1", "HX-Reswap": "none"})


def _error_values(visit: Visit, error: CairnError) -> dict[str, Any]:  # Any: what the template shows
    """What the page of an error shows of the form that met it."""
    kept = visit.keep_form() if visit.request.method == "POST" else None
    if kept and (visit.session is None or kept.member_id != visit.session.member.id):
        kept = None
    newer = error.newer if isinstance(error, StaleVersion) else ()
    # What was seen is taken as seen now: who sends it again has read who changed it.
    again = [(name, value) for name, value in kept.pairs if name not in SEEN] if kept else []
    if kept and newer:
        again.append(("edition", str(newer[0].edition)))
    may_repeat = bool(kept) and not isinstance(error, NotSignedIn) and (bool(newer) or error.status != 412)
    return {
        "again": (again if newer else kept.pairs) if kept and may_repeat else None,
        "newer": newer,
        "came_from": visit.came_from,
    }

"""The window in which a member allows a partner app to have segments, or does not.

Every step checks the app's request again, and no frame shows the page. Its form is not kept through signing in: the
member decides again.
"""

from starlette.responses import Response

from cairn.app import partner_oauth
from cairn.errors import CairnError, InvalidInput
from cairn.sync.addresses import host_of
from cairn.sync.oauth import ConsentRequest, Returned, deny
from cairn.web.guard import CONSENT
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.environment import Environment
from cairn.workspace.permission import Verb


def consent_page(visit: Visit, error: CairnError | None = None) -> Response:
    request = _consent_request(visit)
    if isinstance(request, Response):
        return request
    return visit.page(
        "consent.html",
        status=error.status if error else 200,
        error=error,
        app=request.app,
        is_claimed=request.is_claimed,
        back_to=host_of(request.redirect_uri),
        sends_to=host_of(request.app.webhook_url),
        query=_query(visit),
        may_allow=visit.may(Verb.CHANGE_INTEGRATIONS),
        form_targets=(request.redirect_uri,),
    )


def decide(visit: Visit) -> Response:
    request = _consent_request(visit)
    if isinstance(request, Response):
        return request
    if visit.form("do") != "allow":
        return _to_app(visit, deny(request))
    try:
        environment = _chosen(visit)
    except InvalidInput as error:
        return consent_page(visit, error)
    return _to_app(visit, partner_oauth.allow(visit.call, _query(visit), environment))


def _consent_request(visit: Visit) -> ConsentRequest | Response:
    """What the app asks for; or the answer to a request that is wrong. Raises UnknownApp and BadConsentRequest."""
    try:
        return partner_oauth.read_consent_request(visit.call, _query(visit))
    except Returned as wrong:
        if wrong.is_claimed:
            return _to_app(visit, wrong.location)
        # Nobody here knows the app: its registrant chose the address, so a link to us must not lead there.
        raise InvalidInput(
            f"the request of {wrong.app.name} is wrong, and it was registered by nobody of this workspace; "
            "start again from the app"
        ) from wrong


def _chosen(visit: Visit) -> Environment:
    """Raises InvalidInput."""
    by_id = {str(environment.id): environment for _, environment in visit.environments}
    if visit.form("environment") not in by_id:
        raise InvalidInput(
            "environment: choose the environment whose segments the app may have", field="environment"
        )
    return by_id[visit.form("environment")]


def _query(visit: Visit) -> str:
    return bytes(visit.request.scope.get("query_string", b"")).decode("latin-1")


def _to_app(visit: Visit, location: str) -> Response:
    """The address has a code or a state in it, which no referrer may tell."""
    response = visit.go("/")
    response.headers["Location"] = location
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


PAGES: tuple[Page, ...] = (get(CONSENT, consent_page), post(CONSENT, decide, Verb.SEE))

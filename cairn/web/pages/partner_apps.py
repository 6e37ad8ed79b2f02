"""Partner apps, for developers: register a program that takes segments, rotate its secrets, and see who allowed it."""

from urllib.parse import quote

import msgspec
from starlette.responses import Response

from cairn.app import partner_apps
from cairn.errors import CairnError
from cairn.sync.partner_apps import NewPartnerApp, PartnerAppChanges
from cairn.web.portion import portion
from cairn.web.visit import Page, Visit, client_of, get, post
from cairn.workspace.permission import Verb

SECRET_NAMES = {"client_secret": "Client secret", "webhook_secret": "Webhook secret"}


def partner_apps_page(visit: Visit, error: CairnError | None = None) -> Response:
    apps = partner_apps.list_apps(visit.call)
    granted: dict[int, list[str]] = {}
    for grant in partner_apps.list_grants(visit.call):
        granted.setdefault(grant.app_id, []).append(grant.environment_name)
    return visit.page(
        "partner_apps.html",
        status=error.status if error else 200,
        error=error,
        apps=portion(apps, visit.ask("from")),
        granted=granted,
        client=client_of(visit),
        may_change=visit.may(Verb.CHANGE_INTEGRATIONS),
    )


def register(visit: Visit) -> Response:
    """Leads on to the app's page, which shows the secrets once."""
    form = visit.form
    try:
        new = NewPartnerApp(form("name"), _lines(form("redirect_uris")), form.line("webhook_url"))
        app, secrets = partner_apps.register_app(visit.call, new)
    except CairnError as error:
        return partner_apps_page(visit, error)
    return _show_once(visit, app.id, msgspec.structs.asdict(secrets), f"{app.name} is registered.")


def app_page(visit: Visit, error: CairnError | None = None) -> Response:
    edited = partner_apps.read_app(visit.call, visit.number("app_id"))
    app, ends = edited.value, partner_apps.ends_with_app(visit.call, edited.value.id)
    shown = visit.once.take(visit.ask("made"), visit.csrf, visit.now)
    secrets = msgspec.json.decode(shown, type=dict[str, str]) if shown else {}
    return visit.page(
        "partner_app.html",
        status=error.status if error else 200,
        error=error,
        app=app,
        edition=edited.edition,
        ends=ends,
        secrets={SECRET_NAMES[name]: secret for name, secret in secrets.items()},
        client=client_of(visit),
        may_change=visit.may(Verb.CHANGE_INTEGRATIONS),
        typed=visit.form if error else None,
    )


def change(visit: Visit) -> Response:
    form, app_id = visit.form, visit.number("app_id")
    changes = PartnerAppChanges(form("name"), _lines(form("redirect_uris")), form.line("webhook_url"))
    try:
        app = partner_apps.change_app(visit.call, app_id, changes, expected=visit.seen_edition).value
    except CairnError as error:
        if not error.field or error.status == 412:
            raise
        return app_page(visit, error)
    return visit.go(visit.url(f"/partner-apps/{app_id}"), f"{app.name} is saved.")


def rotate_client(visit: Visit) -> Response:
    app_id, at_once = visit.number("app_id"), visit.form("at_once") == "1"
    secret = partner_apps.rotate_client_secret(
        visit.call, app_id, at_once=at_once, expected=visit.seen_edition
    )
    until = "The old one has ended." if at_once else "The old one is accepted for another 24 hours."
    return _show_once(visit, app_id, {"client_secret": secret}, f"There is a new client secret. {until}")


def rotate_webhook(visit: Visit) -> Response:
    app_id, at_once = visit.number("app_id"), visit.form("at_once") == "1"
    secret = partner_apps.rotate_webhook_secret(
        visit.call, app_id, at_once=at_once, expected=visit.seen_edition
    )
    since = "It signs from now on." if at_once else "It signs in 24 hours; until then the old one does."
    return _show_once(visit, app_id, {"webhook_secret": secret}, f"There is a new webhook secret. {since}")


def delete(visit: Visit) -> Response:
    app_id = visit.number("app_id")
    app = partner_apps.read_app(visit.call, app_id).value
    partner_apps.delete_app(visit.call, app_id, expected=visit.seen_edition)
    return visit.go(
        visit.url("/partner-apps"), f"{app.name} is deleted, and everything it was allowed ended."
    )


def revoke(visit: Visit) -> Response:
    """From the app's page or the directory, and back there."""
    grant = partner_apps.revoke_grant(visit.call, visit.number("grant_id"))
    back = visit.came_from if visit.came_from != "/" else visit.url("/partner-apps")
    return visit.go(back, f"{grant.app_name} has no access to {grant.environment_name} any more.")


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _show_once(visit: Visit, app_id: int, secrets: dict[str, str], notice: str) -> Response:
    handle = visit.once.keep(msgspec.json.encode(secrets).decode(), visit.csrf, visit.now)
    return visit.go(f"{visit.url(f'/partner-apps/{app_id}')}?made={quote(handle)}", notice)


CHANGE = Verb.CHANGE_INTEGRATIONS
PAGES: tuple[Page, ...] = (
    get("/env/{environment}/partner-apps", partner_apps_page),
    post("/env/{environment}/partner-apps", register, CHANGE),
    get("/env/{environment}/partner-apps/{app_id}", app_page),
    post("/env/{environment}/partner-apps/{app_id}", change, CHANGE),
    post("/env/{environment}/partner-apps/{app_id}/client-secret", rotate_client, CHANGE),
    post("/env/{environment}/partner-apps/{app_id}/webhook-secret", rotate_webhook, CHANGE),
    post("/env/{environment}/partner-apps/{app_id}/delete", delete, CHANGE),
    post("/env/{environment}/partner-grants/{grant_id}/revoke", revoke, CHANGE),
)

"""Partner apps, and what members have allowed them. Consent itself is given on a page, by who is signed in there."""

from datetime import datetime

from msgspec import Struct

from cairn.api.endpoint import Endpoint, EnvironmentName, Id, Query, Versioned
from cairn.app import partner_apps
from cairn.app.call import Call
from cairn.sync.grants import Grant
from cairn.sync.partner_apps import NewPartnerApp, PartnerApp, PartnerAppChanges
from cairn.workspace.permission import Verb

EXAMPLE = {
    "name": "Mailer",
    "redirect_uris": ["https://mailer.example/heap/callback"],
    "webhook_url": "https://mailer.example/heap/webhook",
}


class PartnerAppList(Struct, frozen=True):
    partner_apps: list[PartnerApp]


class RegisteredApp(Struct, frozen=True):
    """The secrets are shown this once."""

    partner_app: PartnerApp
    client_secret: str
    webhook_secret: str


class Rotation(Struct, frozen=True, forbid_unknown_fields=True):
    # False: the old client secret is accepted, and the old webhook secret signs, for another 24 hours.
    at_once: bool = False


class ClientSecret(Struct, frozen=True):
    client_secret: str
    old_secret_until: datetime | None  # null: the old one has ended


class WebhookSecret(Struct, frozen=True):
    webhook_secret: str
    signs_from: datetime | None  # null: it signs already


class GrantAnswer(Struct, frozen=True):
    id: Id
    app_id: Id
    app: str
    environment_id: Id
    granted_by: str
    granted_at: datetime


class GrantList(Struct, frozen=True):
    environment: str  # empty: of the whole workspace
    grants: list[GrantAnswer]


class GrantQuery(Query, frozen=True):
    environment: EnvironmentName | None = None


def read_partner_apps(call: Call) -> PartnerAppList:
    """List the partner apps of the workspace, by name."""
    return PartnerAppList(partner_apps.list_apps(call))


def register_partner_app(call: Call, body: NewPartnerApp) -> RegisteredApp:
    """Register a partner app. Its secrets are in this answer and nowhere else."""
    app, secrets = partner_apps.register_app(call, body)
    return RegisteredApp(app, secrets.client_secret, secrets.webhook_secret)


def read_partner_app(call: Call, app_id: Id) -> Versioned[PartnerApp]:
    """Read a partner app."""
    edited = partner_apps.read_app(call, app_id)
    return Versioned(edited.value, edited.edition)


def change_partner_app(
    call: Call, app_id: Id, body: PartnerAppChanges, expected: int | None
) -> Versioned[PartnerApp]:
    """Change a partner app's name or addresses. What is left out stays."""
    edited = partner_apps.change_app(call, app_id, body, expected=expected)
    return Versioned(edited.value, edited.edition)


def rotate_partner_client_secret(
    call: Call, app_id: Id, body: Rotation, expected: int | None
) -> ClientSecret:
    """Make a new client secret."""
    secret = partner_apps.rotate_client_secret(call, app_id, at_once=body.at_once, expected=expected)
    return ClientSecret(secret, partner_apps.read_app(call, app_id).value.old_secret_until)


def rotate_partner_webhook_secret(
    call: Call, app_id: Id, body: Rotation, expected: int | None
) -> WebhookSecret:
    """Make a new webhook secret."""
    secret = partner_apps.rotate_webhook_secret(call, app_id, at_once=body.at_once, expected=expected)
    return WebhookSecret(secret, partner_apps.read_app(call, app_id).value.next_webhook_secret_at)


def delete_partner_app(call: Call, app_id: Id, expected: int | None) -> None:
    """Delete a partner app. Its access ends at once, and what is synced to it with it."""
    partner_apps.delete_app(call, app_id, expected=expected)


def read_partner_grants(call: Call, query: GrantQuery) -> GrantList:
    """List what members have allowed partner apps and nobody revoked; of one environment when it is given."""
    only = None if query.environment is None else call.environment(query.environment)
    found_grants = partner_apps.list_grants(call, environment=only)
    return GrantList("" if only is None else only.name, [_grant(grant) for grant in found_grants])


def revoke_partner_grant(call: Call, grant_id: Id) -> None:
    """Take a partner app's access to an environment away, at once."""
    partner_apps.revoke_grant(call, grant_id)


def _grant(grant: Grant) -> GrantAnswer:
    return GrantAnswer(
        grant.id, grant.app_id, grant.app_name, grant.environment_id, grant.granted_by, grant.granted_at
    )


CHANGE = Verb.CHANGE_INTEGRATIONS
ENDPOINTS = (
    Endpoint("GET", "/partner-apps", Verb.SEE, read_partner_apps),
    Endpoint("POST", "/partner-apps", CHANGE, register_partner_app, example=EXAMPLE, status=201),
    Endpoint("GET", "/partner-apps/{app_id}", Verb.SEE, read_partner_app),
    Endpoint("PATCH", "/partner-apps/{app_id}", CHANGE, change_partner_app, example={"name": "Mailer 2"}),
    Endpoint("DELETE", "/partner-apps/{app_id}", CHANGE, delete_partner_app),
    Endpoint(
        "POST",
        "/partner-apps/{app_id}/client-secret",
        CHANGE,
        rotate_partner_client_secret,
        example={"at_once": False},
    ),
    Endpoint(
        "POST",
        "/partner-apps/{app_id}/webhook-secret",
        CHANGE,
        rotate_partner_webhook_secret,
        example={"at_once": False},
    ),
    Endpoint("GET", "/partner-grants", Verb.SEE, read_partner_grants),
    Endpoint("DELETE", "/partner-grants/{grant_id}", CHANGE, revoke_partner_grant),
)

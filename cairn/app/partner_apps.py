"""Partner apps of a workspace, and what members have allowed them, each in one environment."""

from cairn.app.call import Call
from cairn.app.editions import CREATED, DELETED, Edited, record
from cairn.sync import grants, partner_apps
from cairn.sync.addresses import rules_of
from cairn.sync.grants import Ends, Grant, GrantNotFound
from cairn.sync.partner_apps import NewPartnerApp, PartnerApp, PartnerAppChanges, Secrets
from cairn.workspace.edits import check_edition, differences, edition_of
from cairn.workspace.environment import Environment

EDITED = ("name", "redirect_uris", "webhook_url")


def list_apps(call: Call) -> list[PartnerApp]:
    """By name."""
    with call.reading() as connection:
        return partner_apps.list_apps(connection, call.workspace_id)


def read_app(call: Call, app_id: int) -> Edited[PartnerApp]:
    """Raises PartnerAppNotFound."""
    with call.reading() as connection:
        app = partner_apps.get_app(connection, call.workspace_id, app_id)
        return Edited(app, edition_of(connection, "partner app", app_id))


def register_app(call: Call, new: NewPartnerApp) -> tuple[PartnerApp, Secrets]:
    """The secrets are never shown again. Raises InvalidInput and TooManyPartnerApps."""
    rules = rules_of(call.core.settings)
    with call.writing() as connection:
        app, secrets = partner_apps.create_app(
            connection, call.workspace_id, call.core.seal, new, rules, call.now
        )
        record(call, connection, "partner app", app.id, [CREATED])
    return app, secrets


def change_app(
    call: Call, app_id: int, changes: PartnerAppChanges, *, expected: int | None = None
) -> Edited[PartnerApp]:
    """Raises InvalidInput, PartnerAppNotFound and StaleVersion."""
    rules = rules_of(call.core.settings)
    with call.writing() as connection:
        before = partner_apps.get_app(connection, call.workspace_id, app_id)
        check_edition(connection, "partner app", app_id, expected)
        app = partner_apps.update_app(connection, call.workspace_id, app_id, changes, rules, call.now)
        edition = record(call, connection, "partner app", app_id, differences(before, app, EDITED))
    return Edited(app, edition)


def rotate_client_secret(
    call: Call, app_id: int, *, at_once: bool = False, expected: int | None = None
) -> str:
    """The new secret; the old one is accepted a day longer, unless `at_once`.

    Raises PartnerAppNotFound and StaleVersion.
    """
    with call.writing() as connection:
        partner_apps.get_app(connection, call.workspace_id, app_id)
        check_edition(connection, "partner app", app_id, expected)
        secret = partner_apps.rotate_client_secret(
            connection, call.workspace_id, app_id, call.now, at_once=at_once
        )
        record(call, connection, "partner app", app_id, ["client secret"])
    return secret


def rotate_webhook_secret(
    call: Call, app_id: int, *, at_once: bool = False, expected: int | None = None
) -> str:
    """The new secret; it signs from tomorrow on, unless `at_once`. Raises PartnerAppNotFound and StaleVersion."""
    with call.writing() as connection:
        partner_apps.get_app(connection, call.workspace_id, app_id)
        check_edition(connection, "partner app", app_id, expected)
        secret = partner_apps.rotate_webhook_secret(
            connection, call.workspace_id, app_id, call.core.seal, call.now, at_once=at_once
        )
        record(call, connection, "partner app", app_id, ["webhook secret"])
    return secret


def ends_with_app(call: Call, app_id: int) -> Ends:
    """What deleting it takes along. Raises PartnerAppNotFound."""
    with call.reading() as connection:
        partner_apps.get_app(connection, call.workspace_id, app_id)
        return grants.ends_with(connection, call.workspace_id, app_id=app_id)


def delete_app(call: Call, app_id: int, *, expected: int | None = None) -> Ends:
    """What ended with it. Raises PartnerAppNotFound and StaleVersion."""
    with call.writing() as connection:
        partner_apps.get_app(connection, call.workspace_id, app_id)
        check_edition(connection, "partner app", app_id, expected)
        ends = grants.ends_with(connection, call.workspace_id, app_id=app_id)
        partner_apps.delete_app(connection, call.workspace_id, app_id)
        record(call, connection, "partner app", app_id, [DELETED])
    return ends


def list_grants(
    call: Call, *, environment: Environment | None = None, app_id: int | None = None
) -> list[Grant]:
    """Those in force that the caller may know of, the newest first."""
    only = None if environment is None else environment.id
    with call.reading() as connection:
        stored = grants.list_grants(connection, call.workspace_id, app_id=app_id, environment_id=only)
    return [grant for grant in stored if call.reaches(grant.environment_id)]


def revoke_grant(call: Call, grant_id: int) -> Grant:
    """The app's access ends at once, and nothing is synced to it any more. Raises GrantNotFound."""
    with call.writing() as connection:
        grant = grants.get_grant(connection, call.workspace_id, grant_id)
        if not call.reaches(grant.environment_id):
            raise GrantNotFound(f"no access {grant_id} of a partner app in this workspace; it may be revoked")
        grants.revoke(connection, grant_id, call.now)
    return grant

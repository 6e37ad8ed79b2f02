"""Partner apps: programs of others that ask for segments. Registered by a member, or by another Cairn itself.

The client secret is kept as a hash; the webhook secret is sealed, because Cairn signs with it. Both are shown once and
rotated with overlap: for a day the old client secret is accepted beside the new one, and the old webhook secret signs
while the partner puts the new one in.
"""

import hmac
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from msgspec import UNSET, Struct, UnsetType

from cairn.db.sync_tables import partner_apps
from cairn.errors import Conflict, InvalidInput, LimitExceeded, NotFound
from cairn.ids import key_hash, new_token
from cairn.sync.addresses import AddressRules, clean_redirect, clean_webhook
from cairn.workspace.naming import clean_name
from cairn.workspace.sealed import Seal

OVERLAP = timedelta(hours=24)
MOST_APPS = 100  # of a workspace
MOST_REDIRECTS = 10  # of an app
# An app that registered itself is kept so long without anybody's consent.
UNCLAIMED_FOR = timedelta(hours=1)
MOST_UNCLAIMED = 200
BUILTIN_NAME = "Wingify Cohort Sync"
_CLIENT_ID = re.compile(r"app_[A-Za-z0-9_-]{16,60}")


class PartnerApp(Struct, frozen=True):
    id: int
    name: str
    client_id: str
    redirect_uris: tuple[str, ...]
    webhook_url: str
    is_builtin: bool  # the partner side of another Cairn, which registered itself
    created_at: datetime
    updated_at: datetime
    old_secret_until: datetime | None = None  # the former client secret is accepted until then
    next_webhook_secret_at: datetime | None = None  # the new webhook secret signs from then on


class NewPartnerApp(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    redirect_uris: tuple[str, ...]  # exactly as the app sends them
    webhook_url: str


class PartnerAppChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays."""

    name: str | UnsetType = UNSET
    redirect_uris: tuple[str, ...] | UnsetType = UNSET
    webhook_url: str | UnsetType = UNSET


class Secrets(Struct, frozen=True):
    """Shown once."""

    client_secret: str
    webhook_secret: str


class PartnerAppNotFound(NotFound):
    """There is no such partner app in this workspace."""

    code = "partner_app_not_found"


class TooManyPartnerApps(LimitExceeded):
    """A workspace has up to 100 partner apps, and so many of other Cairns wait for consent at once."""

    code = "too_many_partner_apps"
    status = 429


class AppOfAnotherCairn(Conflict):
    """Another Cairn registered this app and holds its secrets. Disconnect it there and connect it again."""

    code = "app_of_another_cairn"


def create_app(
    connection: sa.Connection,
    workspace_id: int | None,
    seal: Seal,
    new: NewPartnerApp,
    rules: AddressRules,
    now: datetime,
    *,
    is_builtin: bool = False,
) -> tuple[PartnerApp, Secrets]:
    """The app, and its secrets, which are never shown again. `workspace_id` None: it belongs to who allows it first.

    Raises InvalidInput and TooManyPartnerApps.
    """
    _check_room(connection, workspace_id, now)
    secrets = Secrets(new_token("pas"), new_token("pws"))
    row = {
        "workspace_id": workspace_id,
        "name": clean_name(new.name),
        "client_id": new_token("app"),
        "secret_hash": key_hash(secrets.client_secret),
        "redirect_uris": _redirects(new.redirect_uris, rules),
        "webhook_url": clean_webhook(new.webhook_url, rules),
        "webhook_secret_sealed": seal.close(secrets.webhook_secret),
        "is_builtin": is_builtin,
        "created_at": now,
        "updated_at": now,
    }
    made = connection.execute(sa.insert(partner_apps).values(**row).returning(*partner_apps.c)).one()
    return app_of(made), secrets


def _check_room(connection: sa.Connection, workspace_id: int | None, now: datetime) -> None:
    """Also clears out apps that registered themselves and were allowed by nobody."""
    unclaimed = partner_apps.c.workspace_id.is_(None)
    connection.execute(
        sa.delete(partner_apps).where(unclaimed, partner_apps.c.created_at <= now - UNCLAIMED_FOR)
    )
    own = unclaimed if workspace_id is None else partner_apps.c.workspace_id == workspace_id
    known = connection.execute(sa.select(sa.func.count()).select_from(partner_apps).where(own)).scalar_one()
    if known >= (MOST_UNCLAIMED if workspace_id is None else MOST_APPS):
        raise TooManyPartnerApps(f"there are {known} partner apps already; delete those that are not used")


def list_apps(connection: sa.Connection, workspace_id: int) -> list[PartnerApp]:
    query = sa.select(partner_apps).where(partner_apps.c.workspace_id == workspace_id)
    return [app_of(row) for row in connection.execute(query.order_by(partner_apps.c.name, partner_apps.c.id))]


def get_app(connection: sa.Connection, workspace_id: int, app_id: int) -> PartnerApp:
    """Raises PartnerAppNotFound."""
    query = sa.select(partner_apps).where(_own(workspace_id, app_id))
    row = connection.execute(query).first()
    if row is None:
        raise PartnerAppNotFound(f"no partner app {app_id} in this workspace")
    return app_of(row)


def update_app(
    connection: sa.Connection,
    workspace_id: int,
    app_id: int,
    changes: PartnerAppChanges,
    rules: AddressRules,
    now: datetime,
) -> PartnerApp:
    """Raises InvalidInput, PartnerAppNotFound and AppOfAnotherCairn."""
    _get_own(connection, workspace_id, app_id)
    values: dict[str, Any] = {"updated_at": now}  # Any: each column has its own type
    if changes.name is not UNSET:
        values["name"] = clean_name(changes.name)
    if changes.redirect_uris is not UNSET:
        values["redirect_uris"] = _redirects(changes.redirect_uris, rules)
    if changes.webhook_url is not UNSET:
        values["webhook_url"] = clean_webhook(changes.webhook_url, rules)
    connection.execute(sa.update(partner_apps).where(_own(workspace_id, app_id)).values(**values))
    return get_app(connection, workspace_id, app_id)


def rotate_client_secret(
    connection: sa.Connection, workspace_id: int, app_id: int, now: datetime, *, at_once: bool = False
) -> str:
    """The new secret. `at_once`: the old one ends now and not in a day. Raises PartnerAppNotFound."""
    _get_own(connection, workspace_id, app_id)
    secret = new_token("pas")
    connection.execute(
        sa.update(partner_apps)
        .where(_own(workspace_id, app_id))
        .values(
            secret_hash=key_hash(secret),
            updated_at=now,
            old_secret_hash=None if at_once else partner_apps.c.secret_hash,
            old_secret_until=None if at_once else now + OVERLAP,
        )
    )
    return secret


def rotate_webhook_secret(
    connection: sa.Connection,
    workspace_id: int,
    app_id: int,
    seal: Seal,
    now: datetime,
    *,
    at_once: bool = False,
) -> str:
    """The new secret. `at_once`: it signs from now on and not in a day. Raises PartnerAppNotFound."""
    _get_own(connection, workspace_id, app_id)
    row = connection.execute(sa.select(partner_apps).where(_own(workspace_id, app_id))).one()
    secret = new_token("pws")
    sealed = seal.close(secret)
    values = {
        "webhook_secret_sealed": sealed if at_once else signing_secret(row, now),
        "next_webhook_secret_sealed": None if at_once else sealed,
        "next_webhook_secret_at": None if at_once else now + OVERLAP,
        "updated_at": now,
    }
    connection.execute(sa.update(partner_apps).where(_own(workspace_id, app_id)).values(**values))
    return secret


def delete_app(connection: sa.Connection, workspace_id: int, app_id: int) -> None:
    """With it go its grants, their targets and what is synced to these. Raises PartnerAppNotFound."""
    get_app(connection, workspace_id, app_id)
    connection.execute(sa.delete(partner_apps).where(_own(workspace_id, app_id)))


def find_client(connection: sa.Connection, client_id: str, now: datetime) -> sa.Row[Any] | None:
    """The app of a client id; None: there is none, or nobody allowed it in time."""
    if not _CLIENT_ID.fullmatch(client_id):
        return None
    row = connection.execute(sa.select(partner_apps).where(partner_apps.c.client_id == client_id)).first()
    if row is not None and row.workspace_id is None and row.created_at <= now - UNCLAIMED_FOR:
        return None
    return row


def is_client_secret(row: sa.Row[Any], secret: str, now: datetime) -> bool:
    """Whether it is the app's secret, or its former one while that is still accepted."""
    digest = key_hash(secret)
    accepted = [row.secret_hash]
    if row.old_secret_hash is not None and row.old_secret_until > now:
        accepted.append(row.old_secret_hash)
    return any([hmac.compare_digest(digest, accepted_digest) for accepted_digest in accepted])


def claim_app(connection: sa.Connection, app_id: int, workspace_id: int, now: datetime) -> None:
    """An app that registered itself belongs to the workspace that allows it first."""
    unclaimed = (partner_apps.c.id == app_id) & partner_apps.c.workspace_id.is_(None)
    values = {"workspace_id": workspace_id, "updated_at": now}
    connection.execute(sa.update(partner_apps).where(unclaimed).values(**values))


def _get_own(connection: sa.Connection, workspace_id: int, app_id: int) -> None:
    if get_app(connection, workspace_id, app_id).is_builtin:
        raise AppOfAnotherCairn(
            "another Cairn registered this app and holds its secrets; disconnect it there and connect it again"
        )


def signing_secret(row: Any, now: datetime) -> bytes:  # Any: a row with these columns
    """Sealed: the one that signs webhooks now, of an app whose secret may be on its way to another."""
    is_time = row.next_webhook_secret_at is not None and row.next_webhook_secret_at <= now
    sealed: bytes = row.next_webhook_secret_sealed if is_time else row.webhook_secret_sealed
    return sealed


def _redirects(addresses: Sequence[str], rules: AddressRules) -> list[str]:
    if not 1 <= len(addresses) <= MOST_REDIRECTS:
        raise InvalidInput(
            f"redirect_uris: expected 1 to {MOST_REDIRECTS} addresses, got {len(addresses)}",
            field="redirect_uris",
        )
    return list(dict.fromkeys(clean_redirect(address, rules) for address in addresses))


def _stored_redirects(stored: Any) -> tuple[str, ...]:  # Any: what the database holds
    """None where they cannot be read: then nobody is led anywhere until they are saved again."""
    is_readable = isinstance(stored, list) and all(isinstance(address, str) for address in stored)
    return tuple(stored) if is_readable else ()


def _own(workspace_id: int, app_id: int) -> sa.ColumnElement[bool]:
    return (partner_apps.c.workspace_id == workspace_id) & (partner_apps.c.id == app_id)


def app_of(row: sa.Row[Any]) -> PartnerApp:
    return PartnerApp(
        row.id,
        row.name,
        row.client_id,
        _stored_redirects(row.redirect_uris),
        row.webhook_url,
        row.is_builtin,
        row.created_at,
        row.updated_at,
        row.old_secret_until,
        row.next_webhook_secret_at,
    )

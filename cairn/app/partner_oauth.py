"""What partner apps do by themselves: ask for consent, exchange codes, revoke, register, and read what they may."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from cairn.app.call import Call
from cairn.app.core import Core
from cairn.errors import NotSignedIn
from cairn.segments import definition as segments
from cairn.segments.definition import SegmentName
from cairn.sync import grants, oauth, partner_apps
from cairn.sync.addresses import rules_of
from cairn.sync.grants import Customer
from cairn.sync.oauth import ConsentRequest, OAuthAnswer
from cairn.sync.partner_apps import BUILTIN_NAME, NewPartnerApp, PartnerApp, Secrets
from cairn.workspace.environment import Environment, get_environment
from cairn.workspace.permission import Verb, require
from cairn.workspace.workspace import Workspace, get_workspace


class Access(Struct, frozen=True):
    """What an access token opens."""

    customer: Customer
    workspace: Workspace
    environment: Environment


def read_consent_request(call: Call, query: str) -> ConsentRequest:
    """Raises UnknownApp, BadConsentRequest and Returned."""
    with call.reading() as connection:
        return oauth.read_consent_request(connection, query, call.workspace_id, call.now)


def allow(call: Call, query: str, environment: Environment) -> str:
    """Where the browser goes. Raises RoleTooLow, and as `read_consent_request`."""
    require(call.role, Verb.CHANGE_INTEGRATIONS)
    with call.writing() as connection:
        request = oauth.read_consent_request(connection, query, call.workspace_id, call.now)
        return oauth.allow(
            connection,
            request,
            workspace_id=call.workspace_id,
            environment_id=environment.id,
            by=call.by,
            now=call.now,
        )


def register(core: Core, redirect_uris: tuple[str, ...], webhook_url: str) -> tuple[PartnerApp, Secrets]:
    """The partner side of another Cairn, until a member allows it. It does not choose what it is called.

    Raises InvalidInput and TooManyPartnerApps.
    """
    new = NewPartnerApp(BUILTIN_NAME, redirect_uris, webhook_url)
    with core.writing() as connection:
        return partner_apps.create_app(
            connection, None, core.seal, new, rules_of(core.settings), core.clock(), is_builtin=True
        )


def exchange(core: Core, parameters: Mapping[str, str]) -> OAuthAnswer:
    """A code for an access token. Who has no secret takes no turn at writing."""
    now = core.clock()
    if not _is_authentic(core, parameters, now):
        return oauth.refused_client()
    with core.writing() as connection:
        answer = oauth.exchange(connection, parameters, now)
    return answer


def revoke(core: Core, parameters: Mapping[str, str]) -> OAuthAnswer:
    """The app gives its access back."""
    now = core.clock()
    if not _is_authentic(core, parameters, now):
        return oauth.refused_client()
    with core.writing() as connection:
        return oauth.revoke(connection, parameters, now)


def _is_authentic(core: Core, parameters: Mapping[str, str], now: datetime) -> bool:
    with core.reading() as connection:
        return oauth.is_authentic(connection, parameters, now)


def access_of(core: Core, token: str) -> Access:
    """Raises NotSignedIn."""
    with core.reading() as connection:
        customer = grants.find_customer(connection, token) if token else None
        if customer is None:
            raise NotSignedIn("the access token is unknown, or a member revoked it", field="Authorization")
        workspace = get_workspace(connection, customer.workspace_id)
        environment = get_environment(connection, customer.workspace_id, customer.environment_id)
    return Access(customer, workspace, environment)


def list_segments(core: Core, access: Access) -> list[SegmentName]:
    """The names of segments; their members are sent by webhook, once a member has enabled it."""
    with core.reading() as connection:
        return segments.name_segments(connection, access.workspace.id, access.environment.project_id)

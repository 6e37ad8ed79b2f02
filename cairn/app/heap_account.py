"""Integrations, Heap: connecting the workspace to its one Heap account, whose segments its flags can ask for.

No transaction is open while the other side is called: it may take ten seconds.
"""

import secrets

import sqlalchemy as sa
from msgspec import Struct

from cairn.app.call import Call
from cairn.app.editions import record
from cairn.errors import CairnError, Misconfigured, NotFound
from cairn.sync import heap_account, heap_client
from cairn.sync.heap_account import Config, HeapNotEnabled
from cairn.sync.heap_client import HEAP, HeapAway, HeapRefused, Metadata, Server
from cairn.sync.heap_connection import HeapConnection, connection_of
from cairn.sync.receiver import Task, newest_refusal
from cairn.workspace.environment import Environment, get_environment

CALLBACK = "/integrations/heap/callback"
WEBHOOK = "/api/partner/heap/segments"
# RFC 6749, 4.1.2.1: why the other side sent the browser back without a code.
_DENIED = {
    "access_denied": "it was not allowed on Heap's page. Authenticate again, and choose Allow",
    "invalid_request": "Heap's side did not understand the request; is the address that of a Heap or a Cairn?",
    "unauthorized_client": "Heap's side does not let this client ask; compare the client id",
    "temporarily_unavailable": "Heap's side is busy; authenticate again later",
}


class HeapPage(Struct, frozen=True):
    """What the page of the integration shows above its audiences."""

    account: HeapConnection | None  # None: not enabled
    elsewhere: Environment | None  # where it is set up, if not here
    refused: Task | None  # the newest webhook, if it was refused


def look(call: Call, environment: Environment) -> HeapPage:
    with call.reading() as connection:
        account = connection_of(connection, call.workspace_id)
        if account is None:
            return HeapPage(None, None, None)
        elsewhere = None
        if account.environment_id != environment.id:
            elsewhere = get_environment(connection, call.workspace_id, account.environment_id)
        return HeapPage(account, elsewhere, newest_refusal(connection, account.id))


def enable(call: Call, environment: Environment) -> None:
    """Raises HeapAccountElsewhere."""
    with call.writing() as connection:
        heap_account.enable(connection, call.workspace_id, environment.id, call.now)
        _record(call, connection, "enabled")


def configure(call: Call, environment: Environment, config: Config) -> None:
    """Raises InvalidInput, HeapNotEnabled, HeapAccountElsewhere and HeapAccountConnected."""
    with call.writing() as connection:
        account = heap_account.own_account(connection, call.workspace_id, environment.id)
        heap_account.configure(connection, call.core.seal, account, config, call.now)
        _record(call, connection, "configuration")


def disable(call: Call, environment: Environment) -> None:
    """Raises HeapAccountConnected and Conflict."""
    with call.writing() as connection:
        account = heap_account.own_account(connection, call.workspace_id, environment.id)
        heap_account.disable(connection, account)
        _record(call, connection, "disabled")


def authenticate(call: Call, environment: Environment, *, session: str, public_url: str) -> str:
    """Where the window goes. `session`: the secret of the browser that opens it.

    Raises HeapAway, HeapRefused, HeapNotEnabled, HeapAccountElsewhere and HeapAccountConnected.
    """
    account = _account(call, environment)
    if account.is_connected:
        raise heap_account.HeapAccountConnected(
            f"{account.host} is connected, and a workspace has one Heap account; disconnect it first"
        )
    if not account.targets_visitors:
        raise HeapNotEnabled("switch on “Enable use of Heap segment for visitor targeting”, and save, first")
    redirect_uri = f"{public_url}{CALLBACK}"
    try:
        server = heap_client.discover(call.core.client, account.host)
        account = _with_client(call, account, server, public_url)
    except (HeapAway, HeapRefused) as error:
        _note_error(call, account, str(error))
        raise
    state = secrets.token_urlsafe(32)
    with call.writing() as connection:
        window = heap_account.open_window(
            connection,
            call.core.seal,
            account,
            state=state,
            session=session,
            redirect_uri=redirect_uri,
            now=call.now,
        )
    return heap_client.authorize_url(
        server, client_id=account.client_id, redirect_uri=redirect_uri, state=state, verifier=window.verifier
    )


def _with_client(call: Call, account: HeapConnection, server: Server, public_url: str) -> HeapConnection:
    """The account with client id and secrets: as typed, or as another Cairn gives them."""
    if account.client_id and account.client_secret_sealed and account.webhook_secret_sealed:
        return account
    if not server.registration_endpoint:
        missing = "client id, client secret and webhook secret"
        raise HeapRefused(f"{account.host} gives its partners {missing}; enter all three", field="client_id")
    registered = heap_client.register(
        call.core.client, server, redirect_uri=f"{public_url}{CALLBACK}", webhook_url=f"{public_url}{WEBHOOK}"
    )
    with call.writing() as connection:
        heap_account.note_client(
            connection,
            call.core.seal,
            account,
            client_id=registered.client_id,
            client_secret=registered.client_secret,
            webhook_secret=registered.webhook_secret,
            now=call.now,
        )
        return _known(connection_of(connection, call.workspace_id))


def come_back(call: Call, *, session: str, state: str, code: str, error: str) -> Environment:
    """The window has led back to us: exchange its code; the environment whose lists are filled from now on.

    Raises ForgedState, HeapAway, HeapRefused and HeapAccountConnected.
    """
    with call.writing() as connection:
        account, window = heap_account.close_window(
            connection, call.core.seal, call.workspace_id, state=state, session=session, now=call.now
        )
    try:
        if error or not code:
            said = _DENIED.get(error, f"Heap's side refused: {error[:100] or 'it sent no code'}")
            raise HeapRefused(said)
        _exchange(call, account, window.redirect_uri, code, window.verifier)
    except CairnError as failure:
        _note_error(call, account, str(failure))
        raise
    return _existing(where(call))


def _exchange(call: Call, account: HeapConnection, redirect_uri: str, code: str, verifier: str) -> None:
    client, seal = call.core.client, call.core.seal
    server = heap_client.discover(client, account.host)
    tokens = heap_client.exchange(
        client,
        server,
        client_id=account.client_id,
        client_secret=_open(call, account.client_secret_sealed),
        redirect_uri=redirect_uri,
        code=code,
        verifier=verifier,
    )
    metadata, failure = Metadata(), ""
    try:
        metadata = heap_client.read_metadata(client, account.host, tokens.access_token, tokens.id_token)
    except HeapAway as error:  # the permission is there; only its name is not
        failure = f"connected, but the name of the Heap environment is not known: {error}"
    with call.writing() as connection:
        now_known = _known(connection_of(connection, call.workspace_id))
        heap_account.connect(connection, seal, now_known, tokens, metadata, by=call.by, now=call.now)
        if failure:
            heap_account.note_error(connection, now_known, failure, call.now)
        _record(call, connection, "connected")


def where(call: Call) -> Environment | None:
    """The environment whose lists are filled; None: the integration is not enabled."""
    with call.reading() as connection:
        account = connection_of(connection, call.workspace_id)
        if account is None:
            return None
        return get_environment(connection, call.workspace_id, account.environment_id)


def disconnect(call: Call, environment: Environment) -> str:
    """Give the permission back; what could not be done at the other side, empty if all was."""
    account = _account(call, environment)
    with call.writing() as connection:
        heap_account.disconnect(connection, account, call.now)
        _record(call, connection, "disconnected")
    if account.token_sealed is None:
        return ""
    if account.host == HEAP:
        return "Heap has no way to give a permission back from here: switch the integration off in Heap too"
    try:
        server = heap_client.discover(call.core.client, account.host)
        if not server.revocation_endpoint:
            return f"{account.host} has no way to give a permission back from here: switch it off there too"
        heap_client.revoke(
            call.core.client,
            server,
            client_id=account.client_id,
            client_secret=_open(call, account.client_secret_sealed),
            token=_open(call, account.token_sealed),
        )
    except (HeapAway, Misconfigured) as error:
        return f"{error}. Revoke the permission there too; webhooks from there are refused from now on"
    return ""


def _account(call: Call, environment: Environment) -> HeapConnection:
    with call.reading() as connection:
        return heap_account.own_account(connection, call.workspace_id, environment.id)


def _known(account: HeapConnection | None) -> HeapConnection:
    if account is None:
        raise NotFound("the Heap integration was disabled meanwhile")
    return account


def _existing(environment: Environment | None) -> Environment:
    if environment is None:
        raise NotFound("the Heap integration was disabled meanwhile")
    return environment


def _open(call: Call, sealed: bytes | None) -> str:
    return call.core.seal.open(sealed) if sealed else ""


def _note_error(call: Call, account: HeapConnection, error: str) -> None:
    with call.writing() as connection:
        heap_account.note_error(connection, account, error, call.now)


def _record(call: Call, connection: sa.Connection, what: str) -> None:
    account = connection_of(connection, call.workspace_id)
    if account is not None:
        record(call, connection, "heap account", account.id, [what])

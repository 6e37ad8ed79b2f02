"""Integrations, Heap, in the browser: enabled, configured, authenticated at the other side, disconnected."""

from collections.abc import Iterator
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import sqlalchemy as sa

from cairn.db.engine import reading
from cairn.db.sync_tables import heap_connections
from cairn.db.tables import attribute_lists
from cairn.workspace.member import create_member
from cairn.workspace.permission import Role
from tests.sync.heap import Account, open_account, page
from tests.sync.heap_side import HeapSide, heap_side
from tests.web.conftest import PASSWORD, Browser

HEAP = "/env/production/heap"
CALLBACK = "/integrations/heap/callback"


@pytest.fixture(scope="module")
def connected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    account = open_account(tmp_path_factory.mktemp("account"))
    with account.core.engine.begin() as connection:
        workspace_id = connection.execute(sa.select(heap_connections.c.workspace_id)).scalar_one()
        for role in (Role.OWNER, Role.EDITOR):
            create_member(
                connection,
                workspace_id,
                email=f"{role.value}@shop.test",
                name=role.value,
                password=PASSWORD,
                role=role,
                now=account.now,
            )
    yield account
    account.close()


@pytest.fixture
def account(connected: Account) -> Account:
    """Nobody has enabled Heap yet."""
    connected.reset()
    with connected.core.engine.begin() as connection:
        connection.execute(sa.delete(heap_connections))
    return connected


@pytest.fixture
def side() -> Iterator[HeapSide]:
    with heap_side() as side:
        yield side


@pytest.fixture
def owner(account: Account) -> Browser:
    return _enter(account, "owner")


def _enter(account: Account, who: str) -> Browser:
    account.client.cookies.clear()
    return Browser(account.client).enter(account.core, f"{who}@shop.test")


def enabled(owner: Browser, host: str, **more: str) -> None:
    """Up to the button that authenticates."""
    assert owner.post(f"{HEAP}/enable", follow_redirects=False).status_code == 303
    config = {"targets_visitors": "1", "host": host, **more}
    saved = owner.post(f"{HEAP}/config", config)
    assert saved.status_code == 200, saved.text


def window(owner: Browser) -> str:
    """Where the new tab is led to."""
    answer = owner.post(f"{HEAP}/authenticate", follow_redirects=False)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def connect(owner: Browser, side: HeapSide) -> None:
    enabled(owner, side.url)
    assert owner.get(side.allow(window(owner))).status_code == 200


def stored(account: Account) -> sa.Row[tuple[object, ...]]:
    with reading(account.core.engine) as connection:
        return connection.execute(sa.select(heap_connections)).one()


def test_the_story_from_enable_to_the_environment_shown(
    account: Account, owner: Browser, side: HeapSide
) -> None:
    text = owner.get(HEAP).text
    assert "Heap is not enabled" in text and "Segments of this Cairn" in text
    enabled(owner, side.url)
    text = owner.get(f"{HEAP}?tab=config").text
    assert "Enable use of Heap segment for visitor targeting" in text
    assert 'target="_blank"' in text and "Authenticate Wingify on Heap" in text
    address = window(owner)
    asked = dict(parse_qsl(urlsplit(address).query))
    assert address.startswith(f"{side.url}/api/partner/oauth/authorize?")
    assert asked["redirect_uri"] == f"http://cairn.test{CALLBACK}" and asked["client_id"] == "given id"
    (registered,) = side.called("/api/partner/oauth/register")
    assert registered == {
        "client_name": "Wingify Cohort Sync",
        "redirect_uris": [f"http://cairn.test{CALLBACK}"],
        "webhook_url": "http://cairn.test/api/partner/heap/segments",
    }
    landed = owner.get(side.allow(address))
    assert "Connected." in landed.text and "No audience yet" in landed.text
    assert "Production of Acme" in owner.get(f"{HEAP}?tab=config").text
    row = stored(account)
    assert (row.id_token, row.heap_account, row.connected_by) == (side.id_token, "Acme", "owner@shop.test")
    secrets = ("the token", "given secret", "given hook", asked["state"])
    assert not any(secret in repr(tuple(row)) for secret in secrets)


def test_webhooks_of_the_connected_account_fill_lists(
    account: Account, owner: Browser, side: HeapSide
) -> None:
    connect(owner, side)
    account.taken(page(id_token=side.id_token, segment=1, name="Premium", add=["ann"]), secret="given hook")
    text = owner.get(f"{HEAP}/add").text
    assert "Premium" in text and "Trial" in text and "not synced yet" in text
    added = owner.post(f"{HEAP}/add", {"segment": "1"})
    assert "Premium" in added.text and "synced" in added.text
    owner.post(f"{HEAP}/add", {"segment": "2"})
    text = owner.get(HEAP).text
    assert "waiting for first sync" in text and "no flag yet" in text
    assert "No segment is on offer" in owner.get(f"{HEAP}/add").text
    assert owner.post(f"{HEAP}/add", {"segment": "3"}).status_code == 422
    assert owner.post(f"{HEAP}/add").status_code == 422


def test_an_audience_shows_its_history_its_members_and_whether_an_id_is_in(
    account: Account, owner: Browser, side: HeapSide
) -> None:
    connect(owner, side)
    account.taken(page(id_token=side.id_token, segment=1, task="t1", add=["ann", "bob"]), secret="given hook")
    broken = page(id_token=side.id_token, segment=1, task="t2", add=[""])
    assert account.send(broken, secret="given hook").status_code == 400
    half = page(1, 4, id_token=side.id_token, segment=1, task="t3", add=["eve"])
    account.taken(half, secret="given hook")
    owner.post(f"{HEAP}/add", {"segment": "1"})
    text = owner.get(HEAP).text
    assert "page 1 of 4" in text and "data.add[0].id" in text
    url = f"{HEAP}/audiences/{account.audience(1).id}"
    text = owner.get(url).text
    for said in ("ann", "bob", "t1", "t3", "1 of 4", account.audience(1).list_id):
        assert said in text, said
    assert "is in it, since" in owner.get(f"{url}?value=ann").text
    assert "is not in it" in owner.get(f"{url}?value=eve").text
    assert owner.get(f"{HEAP}/audiences/999").status_code == 404


def test_a_window_counts_once_and_only_in_the_session_that_opened_it(
    account: Account, owner: Browser, side: HeapSide
) -> None:
    enabled(owner, side.url)
    back = side.allow(window(owner))
    thief = _enter(account, "owner")
    assert thief.get(back).status_code == 422
    assert stored(account).id_token is None and side.called("/api/partner/oauth/token") == []


@pytest.mark.parametrize("change", ["state", "no state", "old", "twice", "another window"])
def test_an_answer_that_was_not_asked_for_is_refused(
    account: Account, owner: Browser, side: HeapSide, change: str
) -> None:
    enabled(owner, side.url)
    back = side.allow(window(owner))
    match change:
        case "state":
            back = back.replace("state=", "state=x")
        case "no state":
            back = back.split("&state")[0]
        case "old":
            account.later(minutes=11)
        case "another window":
            window(owner)
        case "twice":
            owner.get(back)
            owner.post(f"{HEAP}/disconnect")
    answer = owner.get(back)
    assert answer.status_code == 422 and "authenticate again" in answer.text
    assert stored(account).id_token is None


@pytest.mark.parametrize(
    ("path", "answer", "said"),
    [
        (
            "/api/partner/oauth/token",
            (401, {"error": "invalid_client"}),
            "does not know client id and client secret",
        ),
        (
            "/api/partner/oauth/token",
            (400, {"error": "invalid_client"}),
            "does not know client id and client secret",
        ),
        ("/api/partner/oauth/token", (400, {"error": "invalid_grant"}), "allow within a minute"),
        ("/api/partner/oauth/token", (503, b"away"), "busy or broken"),
        ("/api/partner/oauth/token", (200, b"<html>"), "does not answer as Heap or a Cairn does"),
        ("/api/partner/oauth/token", (200, {"access_token": "x"}), "does not answer as Heap or a Cairn does"),
        ("/api/partner/oauth/token", (302, b""), "did not take the permission"),
    ],
)
def test_what_the_other_side_refuses_is_said_in_words(
    account: Account, owner: Browser, side: HeapSide, path: str, answer: tuple[int, object], said: str
) -> None:
    enabled(owner, side.url)
    back = side.allow(window(owner))
    side.answers[path] = answer
    landed = owner.get(back)
    assert landed.status_code >= 400 and said in landed.text
    assert said in owner.get(f"{HEAP}?tab=config").text
    assert stored(account).id_token is None
    del side.answers[path]
    assert owner.get(side.allow(window(owner))).status_code == 200
    assert said not in owner.get(f"{HEAP}?tab=config").text


@pytest.mark.parametrize(
    ("error", "said"),
    [("access_denied", "choose Allow"), ("server_error", "server_error"), ("<b>", "&lt;b&gt;")],
)
def test_a_refusal_on_the_consent_page_is_said_in_words(
    account: Account, owner: Browser, side: HeapSide, error: str, said: str
) -> None:
    enabled(owner, side.url)
    state = dict(parse_qsl(urlsplit(window(owner)).query))["state"]
    landed = owner.get(f"{CALLBACK}?{urlencode({'error': error, 'state': state})}")
    assert landed.status_code == 422 and said in landed.text


@pytest.mark.parametrize(
    ("path", "answer", "said"),
    [
        ("/.well-known/oauth-authorization-server", (200, b"nonsense"), "check the address"),
        (
            "/.well-known/oauth-authorization-server",
            (200, {"authorization_endpoint": "https://evil.test/a", "token_endpoint": "https://evil.test/t"}),
            "says that its address is https://evil.test",
        ),
        ("/.well-known/oauth-authorization-server", (404, {}), "enter all three"),
        (
            "/api/partner/oauth/register",
            (429, {"error": "too_many"}),
            "does not let this Cairn register itself",
        ),
        ("/api/partner/oauth/register", (201, {"client_id": "x"}), "does not answer as Heap or a Cairn does"),
    ],
)
def test_a_host_that_is_no_heap_is_said_before_a_window_opens(
    owner: Browser, side: HeapSide, path: str, answer: tuple[int, object], said: str
) -> None:
    enabled(owner, side.url)
    side.answers[path] = answer
    refused = owner.post(f"{HEAP}/authenticate")
    assert refused.status_code >= 400 and said in refused.text


def test_a_host_that_is_away_or_not_allowed_is_said(owner: Browser) -> None:
    enabled(owner, "http://127.0.0.1:9")
    assert "cannot be reached" in owner.post(f"{HEAP}/authenticate").text
    owner.post(f"{HEAP}/config", {"targets_visitors": "1", "host": "http://10.0.0.1"})
    assert "may not be called" in owner.post(f"{HEAP}/authenticate").text


def test_without_metadata_the_account_is_connected_and_its_name_missing(
    account: Account, owner: Browser, side: HeapSide
) -> None:
    side.answers[f"/api/partner/v1/metadata/{side.id_token}"] = (500, {})
    connect(owner, side)
    text = owner.get(f"{HEAP}?tab=config").text
    assert "the name of the Heap environment is not known" in text and "not named" in text
    assert stored(account).id_token == side.id_token


def test_client_and_secrets_of_a_real_heap_are_typed_and_never_shown_again(
    account: Account, owner: Browser
) -> None:
    with heap_side(is_cairn=False) as side:
        more = {"client_id": "typed-id", "client_secret": "typed-secret", "webhook_secret": "typed-hook"}
        enabled(owner, side.url, **more)
        text = owner.get(f"{HEAP}?tab=config").text
        assert "typed-id" in text and "typed-secret" not in text and "typed-hook" not in text
        assert f"http://cairn.test{CALLBACK}" in text
        owner.post(f"{HEAP}/config", {"targets_visitors": "1", "host": side.url, "client_id": "typed-id"})
        address = window(owner)
        assert dict(parse_qsl(urlsplit(address).query))["client_id"] == "typed-id"
        owner.get(side.allow(address))
        account.taken(page(id_token=side.id_token, add=["ann"]), secret="typed-hook")
        owner.post(f"{HEAP}/disconnect")
        assert stored(account).client_id == ""


@pytest.mark.parametrize(
    "host",
    [
        "",
        "ftp://heap.test",
        "https://",
        "https://heap.test/path",
        "https://user@heap.test",
        "https://heap.test?x",
        "https://[::1",
        "https://heap.test:99999",
        "javascript:alert(1)",
        "https://" + "x" * 300,
        "https://hé;ap.test",
    ],
)
def test_a_host_that_is_no_address_is_refused_at_its_field(owner: Browser, host: str) -> None:
    owner.post(f"{HEAP}/enable")
    refused = owner.post(f"{HEAP}/config", {"targets_visitors": "1", "host": host})
    assert refused.status_code == 422 and 'id="wrong-host"' in refused.text


def test_a_workspace_has_one_heap_account(account: Account, owner: Browser, side: HeapSide) -> None:
    connect(owner, side)
    again = owner.post(f"{HEAP}/authenticate")
    assert again.status_code == 409 and "a workspace has one Heap account" in again.text
    other = owner.post(f"{HEAP}/config", {"targets_visitors": "1", "host": "https://other.test"})
    assert "a workspace has one Heap account" in other.text and stored(account).host == side.url
    there = "/env/development/heap"
    assert "The Heap account is set up in Production" in owner.get(there).text
    for action in ("enable", "config", "authenticate", "disconnect", "disable"):
        refused = owner.post(f"{there}/{action}", {"host": side.url})
        assert refused.status_code == 409 and "set up in environment Production" in refused.text, action
    assert stored(account).id_token == side.id_token


def test_disconnecting_revokes_and_keeps_the_lists_until_they_are_removed(
    account: Account, owner: Browser, side: HeapSide
) -> None:
    connect(owner, side)
    account.taken(page(id_token=side.id_token, segment=1, add=["ann"]), secret="given hook")
    owner.post(f"{HEAP}/add", {"segment": "1"})
    said = owner.post(f"{HEAP}/disconnect").text
    assert "The lists stay as they are" in said
    assert side.called("/api/partner/oauth/revoke") == [
        {"token": "the token", "client_id": "given id", "client_secret": "given secret"}
    ]
    refused = account.send(
        page(id_token=side.id_token, segment=1, task="2", add=["eve"]), secret="given hook"
    )
    assert refused.status_code == 403
    assert set(account.list_of(1)) == {"ann"}
    assert "not connected" in owner.get(f"{HEAP}?tab=audiences").text
    owner.post(f"{HEAP}/audiences/{account.audience(1).id}/remove")
    with reading(account.core.engine) as connection:
        kinds = connection.execute(sa.select(attribute_lists.c.kind)).scalars().all()
    assert "heap" not in kinds


def test_disconnecting_from_a_side_that_is_away_says_what_is_left(
    account: Account, owner: Browser, side: HeapSide
) -> None:
    connect(owner, side)
    side.answers["/api/partner/oauth/revoke"] = (500, {})
    said = owner.post(f"{HEAP}/disconnect").text
    assert "Revoke the permission there too" in said and stored(account).id_token is None


def test_after_connecting_again_a_first_sync_replaces_who_was_in(
    account: Account, owner: Browser, side: HeapSide
) -> None:
    connect(owner, side)
    account.taken(page(id_token=side.id_token, segment=1, task="1", add=["ann", "bob"]), secret="given hook")
    owner.post(f"{HEAP}/disconnect")
    account.later(seconds=1)
    side.id_token = side.id_token[:-1] + "b"
    connect(owner, side)
    account.later(seconds=1)
    account.taken(page(id_token=side.id_token, segment=1, task="2", add=["bob", "eve"]), secret="given hook")
    assert set(account.list_of(1)) == {"bob", "eve"}
    account.taken(page(id_token=side.id_token, segment=1, task="3", add=["dan"]), secret="given hook")
    assert set(account.list_of(1)) == {"bob", "eve", "dan"}


def test_audiences_of_another_account_are_left_as_they_are(
    account: Account, owner: Browser, side: HeapSide
) -> None:
    connect(owner, side)
    account.taken(page(id_token=side.id_token, segment=1, task="1", add=["ann"]), secret="given hook")
    owner.post(f"{HEAP}/add", {"segment": "1"})
    former = account.audience(1).list_id
    owner.post(f"{HEAP}/disconnect")
    side.id_token = side.id_token[:-1] + "c"
    side.answers[f"/api/partner/v1/metadata/{side.id_token}"] = (200, {"account": {"name": "Another"}})
    connect(owner, side)
    account.taken(page(id_token=side.id_token, segment=1, task="2", add=["eve"]), secret="given hook")
    assert account.audience(1).list_id != former
    assert [value for value, _ in account.core.members.values(f"list/{former}")] == ["ann"]


def test_only_admins_connect_and_editors_add(account: Account, owner: Browser, side: HeapSide) -> None:
    connect(owner, side)
    editor = _enter(account, "editor")
    text = editor.get(f"{HEAP}?tab=config").text
    assert "Disconnect" not in text
    for action in ("enable", "disable", "config", "authenticate", "disconnect"):
        assert editor.post(f"{HEAP}/{action}", {"host": side.url}).status_code == 403, action
    assert editor.get(f"{CALLBACK}?code=x&state=y").status_code == 403
    assert editor.post(f"{HEAP}/add", {"segment": "1"}, follow_redirects=False).status_code == 303


def test_disabling_forgets_the_configuration_once_nothing_is_left(
    account: Account, owner: Browser, side: HeapSide
) -> None:
    connect(owner, side)
    assert owner.post(f"{HEAP}/disable").status_code == 409
    owner.post(f"{HEAP}/disconnect")
    assert owner.post(f"{HEAP}/disable").status_code == 200
    assert "Heap is not enabled" in owner.get(HEAP).text

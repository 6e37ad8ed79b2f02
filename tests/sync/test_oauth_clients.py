"""Programs of partner apps by HTTP: how they authenticate, what their tokens tell, and what is taken back."""

import pytest
import sqlalchemy as sa

from cairn.db.sync_tables import segment_syncs, sync_targets
from cairn.sync.targets import get_target
from cairn.workspace.permission import Role
from tests.sync.oauth import BACK, World, register
from tests.sync.oauth import new_app as new_app  # fixtures
from tests.sync.oauth import opened as opened

# Client authentication, and what stands in a body.


@pytest.mark.parametrize(
    "changes",
    [
        {"client_secret": "pas_wrong"},
        {"client_secret": ""},
        {"client_secret": "\0"},
        {"client_id": "app_unknown-unknown-unknown"},
        {"client_id": ""},
        {"client_id": "ü"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["token", "revoke"])
def test_a_wrong_secret_and_an_unknown_client_get_the_same_answer(
    world: World, changes: dict[str, str], path: str
) -> None:
    body = {
        "grant_type": "authorization_code",
        "code": world.code(),
        "redirect_uri": BACK,
        "token": "x",
        **world.client.authentication,
        **changes,
    }
    answer = world.http.post(f"/api/partner/oauth/{path}", data=body)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "application/x-www-form-urlencoded"),
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b'{"grant_type": 5}', "application/json"),
        (b'{"a":' * 5000, "application/json"),
        (b"a=1&" * 100, "application/x-www-form-urlencoded"),
        (b"grant_type=authorization_code&grant_type=x", "application/x-www-form-urlencoded"),
        (b"\xff\xfe", "application/x-www-form-urlencoded"),
        (b"\xff\xfe", "application/json"),
        (b"<xml/>", "text/xml"),
    ],
)
@pytest.mark.parametrize("path", ["token", "revoke", "register"])
def test_a_body_that_cannot_be_read_is_refused_as_the_standard_says(
    world: World, body: bytes, kind: str, path: str
) -> None:
    answer = world.http.post(f"/api/partner/oauth/{path}", content=body, headers={"content-type": kind})
    assert answer.status_code in (400, 401), answer.text
    assert answer.json()["error"] in ("invalid_request", "invalid_client", "invalid_client_metadata")


def test_a_body_without_an_end_is_not_read_to_its_end(world: World) -> None:
    for path in ("token", "revoke", "register"):
        answer = world.http.post(f"/api/partner/oauth/{path}", content=b"x" * 70_000)
        assert answer.status_code == 413


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "→"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "invalid_request"),
    ],
)
def test_only_codes_are_exchanged(world: World, changes: dict[str, str], error: str) -> None:
    answer = world.exchange(world.code(), **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_two_ways_to_authenticate_in_one_request_are_refused(world: World) -> None:
    body = {
        "grant_type": "authorization_code",
        "code": "x",
        "redirect_uri": BACK,
        **world.client.authentication,
    }
    auth = (world.client.client_id, world.client.secrets.client_secret)
    answer = world.http.post("/api/partner/oauth/token", data=body, auth=auth)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("header", ["Basic", "Basic =", "Basic /w==", "Bearer x", "Basic " + "x" * 5000])
def test_an_authorization_header_that_cannot_be_read_is_no_secret(world: World, header: str) -> None:
    body = {"grant_type": "authorization_code", "code": "x"}
    answer = world.http.post("/api/partner/oauth/token", data=body, headers={"Authorization": header})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("path", ["token", "revoke", "register"])
def test_secrets_are_not_taken_from_an_address(world: World, path: str) -> None:
    answer = world.http.get(f"/api/partner/oauth/{path}", params=world.client.authentication)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert (
        world.http.post(f"/api/partner/oauth/{path}", params=world.client.authentication).status_code >= 400
    )


# Access tokens.


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Basic {token}", "Bearer {token}x"])
@pytest.mark.parametrize("path", ["metadata/{id_token}", "segments"])
def test_without_an_access_token_nothing_is_told(world: World, header: str, path: str) -> None:
    token = world.token()
    answer = world.http.get(
        f"/api/partner/v1/{path.format(**token)}",
        headers={"Authorization": header.format(token=token["access_token"])} if header else {},
    )
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_token_tells_nothing_of_another_customer(world: World) -> None:
    token = world.token()
    mine = world.client
    world.client = register(world.core, world.a, "Other")
    other = world.token()
    assert world.metadata(token, other["id_token"]).status_code == 404
    assert world.metadata(token, "5b1c0000-0000-0000-0000-000000000000").status_code == 404
    world.client = mine
    assert world.metadata(token).status_code == 200


def test_an_api_token_of_the_workspace_is_no_access_token_and_the_other_way_round(world: World) -> None:
    token = world.token()
    answer = world.http.get("/api/v1/segments", headers={"Authorization": f"Bearer {token['access_token']}"})
    assert answer.status_code == 401


@pytest.mark.parametrize("name", ["access_token", "token"])
def test_an_access_token_in_an_address_is_refused(world: World, name: str) -> None:
    token = world.token()
    answer = world.http.get("/api/partner/v1/segments", params={name: token["access_token"]})
    assert answer.status_code == 400
    assert token["access_token"] not in answer.text


# Revoking, by the app and by a member.


def test_an_app_gives_its_access_back(world: World) -> None:
    token = world.token()
    body = {"token": token["access_token"], **world.client.authentication}
    for _ in range(2):
        assert world.http.post("/api/partner/oauth/revoke", data=body).status_code == 200
    assert world.metadata(token).status_code == 401


def test_an_app_revokes_nothing_of_another_app(world: World) -> None:
    token = world.token()
    other = register(world.core, world.a, "Other")
    body = {"token": token["access_token"], **other.authentication}
    assert world.http.post("/api/partner/oauth/revoke", data=body).status_code == 400
    assert world.metadata(token).status_code == 200


def test_a_revoked_grant_ends_at_once_and_allowing_again_is_a_new_customer_whose_syncs_start_anew(
    world: World,
) -> None:
    first = world.token()
    with world.core.reading() as connection:
        target = connection.execute(sa.select(sync_targets).order_by(sync_targets.c.id.desc()).limit(1)).one()
    browser = world.browser()
    path = f"/env/production/partner-grants/{target.grant_id}/revoke"
    assert browser.post(path, data={"csrf": browser.headers["x-csrf-for-tests"]}).status_code == 303
    assert world.metadata(first).status_code == 401
    with world.core.reading() as connection:
        gone = connection.execute(sa.select(sync_targets).where(sync_targets.c.id == target.id)).one()
        assert not gone.is_enabled
        assert get_target(connection, target.environment_id, target.id).is_revoked
    second = world.token()
    assert second["id_token"] != first["id_token"]
    with world.core.reading() as connection:
        again = connection.execute(sa.select(sync_targets).where(sync_targets.c.id == target.id)).one()
        assert again.is_enabled
        assert again.grant_id != target.grant_id
        assert connection.execute(sa.select(segment_syncs)).all() == []


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_who_may_not_change_integrations_revokes_nothing(world: World, role: Role) -> None:
    token = world.token()
    with world.core.reading() as connection:
        grant_id = connection.execute(
            sa.select(sync_targets.c.grant_id).order_by(sync_targets.c.id.desc()).limit(1)
        ).scalar_one()
    browser = world.browser(role=role)
    path = f"/env/production/partner-grants/{grant_id}/revoke"
    assert browser.post(path, data={"csrf": browser.headers["x-csrf-for-tests"]}).status_code == 403
    stranger = world.browser(world.b)
    assert stranger.post(path, data={"csrf": stranger.headers["x-csrf-for-tests"]}).status_code == 404
    assert world.metadata(token).status_code == 200

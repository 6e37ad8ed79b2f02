"""Testing a connection over the API: what the destination answers is said, and no secret with it."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from cairn.api.app import build_api
from cairn.client_address import TrustedProxies
from cairn.http_client import HttpClient
from cairn.workspace.permission import Role
from tests.api.conftest import World
from tests.routing.target import Say, Target, serving

HERE = {"environment": "production"}
SECRET = "whsec_" + "c2VjcmV0" * 6


@pytest.fixture
def receiver() -> Iterator[Target]:
    with serving() as target:
        yield target


def tried(world: World, destination: str, *, role: Role = Role.ADMIN, **settings: Any) -> Any:
    secrets = settings.pop("secrets", {})
    wanted = {"destination": destination, "settings": settings, "secrets": secrets, "is_enabled": False}
    path = f"/sources/{world.a.source_id}/connections"
    made = world.call("POST", path, role=Role.ADMIN, params=HERE, json=wanted)
    assert made.status_code == 201, made.text
    return world.call("POST", f"/connections/{made.json()['id']}/test", role=role, params=HERE)


def webhook(world: World, receiver: Target, **more: Any) -> Any:
    return tried(world, "webhook", url=receiver.url, secrets={"secret": SECRET}, **more)


def allow(world: World, networks: str) -> None:
    """What an operator allows calls to."""
    core = dataclasses.replace(world.core, client=HttpClient(TrustedProxies(networks)))
    world.client = TestClient(Starlette(routes=build_api(core)))


@pytest.fixture
def reaching(world: World) -> World:
    allow(world, "127.0.0.1")
    return world


def test_what_the_destination_takes_is_right(reaching: World, receiver: Target) -> None:
    assert webhook(reaching, receiver).json() == {"is_right": True, "detail": "answered 200: ok"}
    (message,) = receiver.taken
    assert message["event"] == "Connection tested"


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        pytest.param(401, b"no", "answered 401: no", id="refused"),
        pytest.param(503, b"", "answered 503", id="away"),
        pytest.param(
            400, f"bad {SECRET}".encode(), "answered 400: bad (hidden)", id="an answer with the secret"
        ),
        pytest.param(500, b"\xff\0" * 10, "answered 500: ", id="garbage"),
    ],
)
def test_what_it_refuses_is_said(
    reaching: World, receiver: Target, status: int, body: bytes, said: str
) -> None:
    receiver.answer = lambda _got: Say(status, {}, body)
    answer = webhook(reaching, receiver)
    assert answer.status_code == 200 and not answer.json()["is_right"]
    assert answer.json()["detail"].startswith(said) and SECRET not in answer.text


def test_an_address_of_this_machine_is_not_reached(world: World, receiver: Target) -> None:
    allow(world, "")
    answer = webhook(world, receiver).json()
    assert not answer["is_right"] and "not a public address" in answer["detail"]
    assert receiver.got == []


def test_a_secret_address_is_hidden_where_it_cannot_be_reached(reaching: World) -> None:
    secret = "http://127.0.0.1:9/services/T1/B1/very-secret"
    answer = tried(reaching, "slack", other="{{event}}", secrets={"webhook_url": secret})
    assert not answer.json()["is_right"] and "very-secret" not in answer.text


def test_a_table_is_tried_by_connecting(reaching: World) -> None:
    answer = tried(reaching, "postgresql_table", host="127.0.0.1", port=9, database="d", user="u")
    assert not answer.json()["is_right"] and "refused" in answer.json()["detail"]


def test_only_who_may_change_sources_may_try(reaching: World, receiver: Target) -> None:
    settings: dict[str, Any] = {"url": "https://hooks.test", "secrets": {"secret": SECRET}}
    assert tried(reaching, "webhook", role=Role.VIEWER, **settings).status_code == 403

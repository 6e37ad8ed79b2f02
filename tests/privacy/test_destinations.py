"""Deleting users where their events were sent, with a destination that can and destinations that cannot."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cairn.client_address import TrustedProxies
from cairn.clock import utc_now
from cairn.http_client import HttpClient
from cairn.privacy.deletion import DeletionResources, delete_users
from cairn.privacy.destinations import Destinations, NotDeletedThereYet
from cairn.routing.catalogue import destination
from cairn.routing.connections import ConnectionChange, create_connection
from cairn.routing.destination import Configuration, Destination, Request, Setting
from cairn.routing.payload import post_json, with_secret
from cairn.workspace.sealed import open_seal
from cairn.workspace.source import list_sources
from tests.privacy.conftest import Running, Tenant
from tests.privacy.test_deletion import ANN, delete, status
from tests.routing.target import Answering, Say, Target, serving

pytestmark = pytest.mark.slow


@pytest.fixture
def receiver() -> Iterator[Target]:
    with serving() as target:
        target.answer = repeating()
        yield target


def repeating(status: int = 200) -> Answering:
    """The answer says whom it means."""
    return lambda got: Say(status, {}, json.dumps(got.body).encode())


def forget(user_ids: Sequence[str], configuration: Configuration, now: datetime) -> list[Request]:
    call = post_json(configuration.settings["url"], {"users": list(user_ids)})
    return [Request(with_secret(call, {"authorization": configuration.secrets["token"]}), ())]


FORGETFUL = Destination(
    "forgetful",
    "Forgetful",
    "Deletes users when it is asked to.",
    (Setting("url", "Address", "", kind="url"), Setting("token", "Token", "", kind="secret")),
    prepare=lambda *_: [],
    forget=forget,
)


def find(slug: str) -> Destination:
    return FORGETFUL if slug == FORGETFUL.slug else destination(slug)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path / "data").start()
    running.core.workers.stop()
    yield running
    running.close()


def connect(running: Running, tenant: Tenant, chosen: Destination, **change: Any) -> None:
    with running.core.engine.begin() as connection:
        source = next(
            source
            for source in list_sources(connection, tenant.workspace_id)
            if source.environment_id == tenant.environment_id
        )
        wanted = ConnectionChange(**change)
        seal, now = open_seal(running.folder), utc_now()
        create_connection(
            connection, tenant.workspace_id, source.id, chosen, seal, wanted, log_end=0, now=now
        )


def resources(running: Running) -> DeletionResources:
    engine, client = running.core.engine, HttpClient(TrustedProxies("127.0.0.1"))
    reaching = Destinations(engine, open_seal(running.folder), client, find)
    return dataclasses.replace(running.deletion_resources(), destinations=reaching)


def story(running: Running, receiver: Target) -> tuple[Tenant, str]:
    """A tenant with one connection that can delete users, one that cannot, and a request to delete Ann."""
    tenant = running.tenant("leaver")
    connect(
        running, tenant, FORGETFUL, name="CRM", settings={"url": receiver.url}, secrets={"token": "t0ken"}
    )
    hook = {"settings": {"url": "https://hooks.test"}, "secrets": {"secret": "whsec_" + "QUJD" * 8}}
    connect(running, tenant, destination("webhook"), name="Hook", is_enabled=False, **hook)
    return tenant, delete(running, tenant, {"identity": ANN})


def remains(running: Running, tenant: Tenant, request: str) -> list[str]:
    receipt = running.call(tenant, "GET", f"/deletions/{request}").json()["receipt"]
    assert ANN not in json.dumps(receipt)
    return [line for line in receipt["remains"] if line.startswith("connection")]


def test_destinations_are_asked_and_the_receipt_says_where_nobody_can(
    running: Running, receiver: Target
) -> None:
    tenant, request = story(running, receiver)
    delete_users(resources(running), {"deletion_id": request})
    (request_there,) = receiver.got
    assert (request_there.headers["authorization"], request_there.body) == ("t0ken", {"users": [ANN]})
    assert status(running, tenant, request) == "complete"
    assert remains(running, tenant, request) == [
        "connection CRM: asked to delete the users there, which it does in its own time",
        "connection Hook: what it sent stays there; delete it there too",
    ]


def test_a_destination_that_is_away_is_asked_again_for_an_hour(running: Running, receiver: Target) -> None:
    tenant, request = story(running, receiver)
    receiver.answer = repeating(503)
    parts = resources(running)
    for _ in range(2):
        with pytest.raises(NotDeletedThereYet, match="not reached: CRM"):
            delete_users(parts, {"deletion_id": request})
        assert status(running, tenant, request) == "pending"
    later = dataclasses.replace(parts, clock=lambda: utc_now() + timedelta(minutes=61))
    delete_users(later, {"deletion_id": request})
    assert status(running, tenant, request) == "complete"
    assert remains(running, tenant, request)[0] == "connection CRM: answered 503; delete the users there too"


def test_one_that_refuses_is_not_asked_again(running: Running, receiver: Target) -> None:
    tenant, request = story(running, receiver)
    receiver.answer = repeating(401)
    delete_users(resources(running), {"deletion_id": request})
    assert len(receiver.got) == 1
    assert remains(running, tenant, request)[0] == "connection CRM: answered 401; delete the users there too"

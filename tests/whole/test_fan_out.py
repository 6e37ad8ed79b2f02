"""A source that feeds the analytics of two environments: every event is stored once in each."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from cairn.db.engine import open_engine
from cairn.workspace.source import connect_analytics, list_sources
from tests.databases import database_url
from tests.patience import eventually
from tests.served import Served
from tests.whole.conftest import Whole, number

KINDS = ("server", "web")


@pytest.fixture(scope="module")
def both(cairn: Served) -> Iterator[tuple[Whole, Whole]]:
    """Two environments that development's sources feed."""
    development, production = Whole(cairn), Whole(cairn, "production")
    switch(cairn, development, production, is_enabled=True)
    eventually(lambda: reaches(development, production))
    yield development, production
    switch(cairn, development, production, is_enabled=False)
    development.http.close()
    production.http.close()


def switch(cairn: Served, development: Whole, production: Whole, *, is_enabled: bool) -> None:
    engine = open_engine(database_url(cairn.data_dir))
    with engine.begin() as connection:
        workspace_id = int(cairn.demo["workspace_id"])
        for source in list_sources(connection, workspace_id):
            if source.environment_id == development.environment_id:
                connect_analytics(
                    connection,
                    workspace_id,
                    source.id,
                    production.environment_id,
                    is_enabled=is_enabled,
                    now=datetime.now(UTC),
                )
    engine.dispose()


def reaches(development: Whole, production: Whole) -> bool:
    """Whether what is sent now gets to the second environment too: the connection is published by and by."""
    user = f"probe-{number()}"
    send(development, {"type": "track", "event": "Probe", "userId": user})
    eventually(lambda: development.events(user))
    return bool(production.events(user))


def send(whole: Whole, *calls: dict[str, Any], kind: str = "server") -> None:
    key = whole.cairn.demo["environments"][whole.environment]["write_keys"][kind]
    assert whole.http.post("/v1/batch", json={"batch": calls}, auth=(key, "")).status_code == 200


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("has_id", [True, False], ids=["with messageId", "without"])
def test_a_source_of_two_environments_stores_every_event_once_in_each(
    both: tuple[Whole, Whole], kind: str, has_id: bool
) -> None:
    user = f"user-{number()}"
    names = [f"Step {place}" for place in range(4)]
    send(
        both[0],
        *(
            {"type": "track", "event": name, "userId": user}
            | ({"messageId": str(number())} if has_id else {})
            for name in names
        ),
        {"type": "identify", "userId": user, "anonymousId": f"an-{user}", "traits": {"plan": "pro"}},
        {"type": "page", "name": "Home", "userId": user},
        kind=kind,
    )
    for whole in both:
        eventually(lambda whole=whole: len(whole.live(user=user)) == 6)
        assert sorted(event["name"] for event in whole.events(user)) == sorted([*names, "Identify"])
        reasons = sorted(event["reason"] for event in whole.live(user=user))
        assert reasons == ["stored"] * 5 + ["unsupported_event_type"]
        assert whole.user(user)["user"]["properties"]["plan"]["value"] == "pro"


def test_a_repeat_is_one_in_each_environment(both: tuple[Whole, Whole]) -> None:
    user, message_id = f"user-{number()}", str(number())
    for _ in range(2):
        send(both[0], {"type": "track", "event": "Paid", "userId": user, "messageId": message_id})
    for whole in both:
        eventually(lambda whole=whole: len(whole.live(user=user)) == 2)
        assert sorted(event["reason"] for event in whole.live(user=user)) == ["repeated_id", "stored"]

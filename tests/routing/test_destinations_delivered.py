"""Destinations through the front door: events are sent to a served Cairn, and real receivers get them."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.patience import eventually
from tests.prepared import Demos
from tests.routing.destinations.customer_postgres import PASSWORD, Postgres, serving_postgres
from tests.routing.target import Target, serving
from tests.routing.world import OPTIONS, Routed
from tests.served import Served


@pytest.fixture(scope="module")
def cairn(demos: Demos, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = demos.served(tmp_path_factory.mktemp("destinations") / "data", *OPTIONS).start()
    yield served
    assert served.stop() == 0


@pytest.fixture
def routed(cairn: Served) -> Iterator[Routed]:
    routed = Routed(cairn)
    yield routed
    routed.close()


@pytest.fixture
def target() -> Iterator[Target]:
    with serving() as target:
        yield target


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with serving_postgres() as postgres:
        yield postgres


def test_rows_arrive_in_a_table_over_tls(routed: Routed, target: Target, postgres: Postgres) -> None:
    settings = postgres.settings(host="127.0.0.1")
    settings.pop("password")
    known = routed.connect(target, slug="postgresql_table", settings=settings, secrets={"password": PASSWORD})
    users = [f"row-{number}" for number in range(5)]
    routed.send(range(20), *users)
    routed.passed(known)
    rows = postgres.rows(columns="user_id, body #>> '{properties,number}'")
    assert sorted(rows) == sorted((user, str(number)) for user in users for number in range(20))
    assert routed.counts(known) == {("delivered", ""): 100}


def test_a_table_that_is_away_gets_its_rows_when_it_is_back(
    routed: Routed, target: Target, postgres: Postgres
) -> None:
    postgres.empty()
    settings = {**postgres.settings(host="127.0.0.1"), "schema": "later"}
    settings.pop("password")
    known = routed.connect(target, slug="postgresql_table", settings=settings, secrets={"password": PASSWORD})
    routed.send(range(3), "waits")
    eventually(lambda: bool((state := routed.state(known)) and state.detail), "the reason is told")
    assert 'schema "later" does not exist' in routed.state(known).detail
    with postgres.admin() as connection:
        connection.execute("CREATE SCHEMA later AUTHORIZATION writer")
    routed.passed(known)
    with postgres.admin() as connection:
        assert connection.execute("SELECT count(*) FROM later.events").fetchone() == (3,)


def test_a_message_is_posted_to_a_channel(routed: Routed, target: Target) -> None:
    templates = ["Counted = {{userId}} counted to {{properties.number}}"]
    known = routed.connect(
        target, slug="slack", settings={"templates": templates}, secrets={"webhook_url": target.url}
    )
    routed.send([7], "<!here>")
    routed.send([8], "quiet", event="Else")
    routed.passed(known)
    assert [got.body["text"] for got in target.got] == ["&lt;!here&gt; counted to 7"]
    assert routed.counts(known) == {("delivered", ""): 1, ("discarded", "no_matching_mapping"): 1}
    assert target.url not in repr(routed.samples(known)), "who knows the address can post"


@pytest.mark.parametrize("slug", ["heap_classic", "heap_cloud_actions", "heap_cloud", "segment_http"])
def test_one_cairn_sends_to_another(routed: Routed, target: Target, slug: str) -> None:
    """To this one's own development environment, over HTTP."""
    there: dict[str, Any] = routed.cairn.demo["environments"]["development"]
    settings: dict[str, Any] = {"host": routed.cairn.url}
    secrets = {}
    if slug == "segment_http":
        secrets = {"write_key": there["write_keys"]["server"]}
    else:
        settings["app_id"] = there["app_id"]
    known = routed.connect(target, slug=slug, settings=settings, secrets=secrets)
    routed.send([7], "sent", anonymousId="device", event=f"Sent by {slug}")
    routed.passed(known)
    assert routed.counts(known) == {("delivered", ""): 1}, routed.samples(known)

    def arrived() -> bool:
        token = {"Authorization": f"Bearer {routed.cairn.demo['api_token']}"}
        query: dict[str, Any] = {"environment": "development", "limit": 50}
        answer = routed.http.get("/api/v1/events", params=query, headers=token)
        return f"Sent by {slug}" in [event["name"] for event in answer.json()["events"]]

    eventually(arrived, "the event is there")

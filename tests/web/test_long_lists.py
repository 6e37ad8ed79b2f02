"""No page grows with what was made or sent: a workspace with thousands of everything, every page of the route table."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from cairn.clock import to_ms
from cairn.conditions.tree import UserProperty
from cairn.db import tables
from cairn.db.routing_tables import connections
from cairn.db.sync_tables import heap_audiences, heap_connections
from cairn.definitions.defined_event import create_defined_event
from cairn.definitions.model import Definition, NewDefinedEvent, Part
from cairn.event import Draft, Kind, Refused
from cairn.flags.definition import NewFlag, create_flag
from cairn.flags.model import Allocation, Variation
from cairn.flags.rule_definition import NewRule, add_rule
from cairn.ids import event_id, identified_user_id
from cairn.outcomes import Reason
from cairn.segments.definition import NewSegment, create_segment
from cairn.store.store import PropertyChange
from cairn.sync.addresses import rules_of
from cairn.sync.partner_apps import NewPartnerApp, create_app
from cairn.web.app import build_web
from cairn.workspace.api_token import create_token
from cairn.workspace.permission import Role
from tests.routing.delivered import delivered_connection
from tests.web.conftest import NOW, Browser, World
from tests.web.pages import addresses, url_of
from tests.world import Tenant

MANY = 5_000
LARGEST = 1_000_000  # bytes of an answer
MORE = re.compile(r"(\d,\d{3}|\d{3}) (or )?more")
WHO = "many@shop.test"


def copies(connection: sa.Connection, table: sa.Table, row_id: int, **changing: Callable[[int], Any]) -> None:
    """Thousands of rows like one that was made as members make it."""
    row = dict(connection.execute(sa.select(table).where(table.c.id == row_id)).one()._mapping)
    del row["id"]
    rows = [{**row, **{name: value(at) for name, value in changing.items()}} for at in range(MANY)]
    connection.execute(sa.insert(table), rows)


@pytest.fixture(scope="module")
def many(world: World) -> Tenant:
    tenant = world.add_tenant("many")
    with world.core.engine.begin() as connection:
        define(connection, tenant)
    connect_heap(world, tenant)
    fill(world, tenant)
    return tenant


def define(connection: sa.Connection, tenant: Tenant) -> None:
    workspace, here = tenant.workspace_id, tenant.environment
    segment = create_segment(
        connection,
        workspace,
        here.project_id,
        NewSegment("s", "Segment", UserProperty("plan", "is", "pro")),
        NOW,
    )
    copies(connection, tables.segments, segment.id, key=lambda at: f"s{at}", name=lambda at: f"Segment {at}")
    event = create_defined_event(
        connection,
        workspace,
        here.project_id,
        NewDefinedEvent("Event", Definition((Part("custom", "n1"),))),
        NOW,
    )
    copies(
        connection,
        tables.defined_events,
        event.id,
        name=lambda at: f"Event {at}",
        category=lambda at: f"c{at}",
    )
    copies(
        connection, tables.defined_events, event.id, name=lambda at: f"Old {at}", state=lambda _: "archived"
    )
    flag = create_flag(
        connection,
        workspace,
        here.project_id,
        NewFlag(key="flag", name="Flag", variables=(), variations=(Variation(1, "on", "On", {}),)),
        NOW,
    ).flag
    rule = add_rule(
        connection, workspace, flag.id, here.id, NewRule("rollout", "rule", (Allocation(1),)), NOW
    )
    copies(connection, tables.rules, rule.id, key=lambda at: f"r{at}", position=lambda at: at + 1)
    copies(connection, tables.flags, flag.id, key=lambda at: f"f{at}", name=lambda at: f"Flag {at}")
    source = (
        connection.execute(sa.select(tables.sources.c.id).where(tables.sources.c.environment_id == here.id))
        .scalars()
        .first()
    )
    assert source is not None
    copies(
        connection, tables.sources, source, name=lambda at: f"Source {at}", write_key_hash=lambda at: f"w{at}"
    )
    token, _ = create_token(connection, workspace, name="token", role=Role.VIEWER, now=NOW)
    copies(
        connection, tables.api_tokens, token.id, name=lambda at: f"Token {at}", token_hash=lambda at: f"t{at}"
    )
    member = (
        connection.execute(sa.select(tables.members.c.id).where(tables.members.c.workspace_id == workspace))
        .scalars()
        .first()
    )
    assert member is not None
    copies(connection, tables.members, member, email=lambda at: f"m{at}@many.test", name=lambda at: f"M {at}")
    copies(
        connection,
        tables.environments,
        here.id,
        key=lambda at: f"e{at}",
        name=lambda at: f"Environment {at}",
        app_id=lambda at: f"9{at:09}",
        sdk_key_hash=lambda at: f"k{at}",
    )


def connect_heap(world: World, tenant: Tenant) -> None:
    """A Heap account with thousands of audiences, every second one added, and thousands of lists of the team's own."""
    here, moments = tenant.environment.id, {"created_at": NOW, "updated_at": NOW}
    names = {f"lheap{at}": (f"Audience {at}", "heap") for at in range(MANY)}
    names |= {f"lown{at}": (f"List {at}", "static") for at in range(MANY)}
    with world.core.engine.begin() as connection:
        account = sa.insert(heap_connections).values(
            workspace_id=tenant.workspace_id,
            environment_id=here,
            targets_visitors=True,
            id_token="many",
            host="http://127.0.0.1:9",
            token_sealed=world.core.seal.close("token"),
            connected_at=NOW,
            **moments,
        )
        account_id = connection.execute(account.returning(heap_connections.c.id)).scalar_one()
        connection.execute(
            sa.insert(tables.attribute_lists),
            [
                {
                    "id": list_id,
                    "environment_id": here,
                    "name": name,
                    "kind": kind,
                    "folds_case": False,
                    **moments,
                }
                for list_id, (name, kind) in names.items()
            ],
        )
        connection.execute(
            sa.insert(heap_audiences),
            [
                {
                    "connection_id": account_id,
                    "heap_id": str(at),
                    "name": f"Audience {at}",
                    "list_id": f"lheap{at}",
                    "is_added": at % 2 == 0,
                    "first_seen_at": NOW,
                }
                for at in range(MANY)
            ],
        )


def fill(world: World, tenant: Tenant) -> None:
    """Thousands of properties, names, sessions, libraries, hosts and refusals, each as large as they are taken."""
    here, store, now = tenant.environment.id, world.core.store, to_ms(NOW)
    user = identified_user_id(here, WHO)
    at = now - 3_600_000
    properties = {"identity": WHO, **{f"p{number:04}": "v" * 200 for number in range(MANY)}}
    store.insert_properties(
        [PropertyChange(here, user, key, value, at, at << 64) for key, value in properties.items()]
    )
    large = {f"key {number:03}": 'a "quoted" <value> & more' * 4 for number in range(250)}
    drafts = [
        Draft(
            here,
            Kind.CUSTOM if number % 2 else Kind.PAGEVIEW,
            f"name {number}",
            now - number * 3_600_000,
            now - number,
            user_id=user,
            event_id=event_id(str(here), str(number)),
            session_id=number + 1,
            source="Server",
            library=f"library {number}",
            properties=large if number < 120 else {},
            facts={"domain": f"host{number}.test", "path": f"/{number}"},
        )
        for number in range(MANY)
    ]
    store.insert_events(drafts)
    store.insert_refusals(
        [
            Refused(
                here, now - number, Reason.NO_USER, f"detail {number}", "name", "user", "Server", '"' * 2_000
            )
            for number in range(MANY)
        ]
    )


@pytest.fixture(scope="module")
def values(world: World, many: Tenant) -> dict[str, str]:
    def first(table: sa.Table) -> str:
        with world.core.engine.connect() as connection:
            of_tenant = sa.select(sa.func.min(table.c.id)).where(table.c.workspace_id == many.workspace_id)
            return str(connection.execute(of_tenant).scalar_one())

    with world.core.engine.connect() as connection:
        rule = str(connection.execute(sa.select(sa.func.max(tables.rules.c.id))).scalar_one())
        audience = str(connection.execute(sa.select(sa.func.min(heap_audiences.c.id))).scalar_one())
    new = NewPartnerApp("App", ("https://app.example/",), "https://app.example/")
    with world.core.engine.begin() as connection:
        app, _ = create_app(
            connection, many.workspace_id, world.core.seal, new, rules_of(world.core.settings), NOW
        )
        made = delivered_connection(
            connection, world.core.seal, many.workspace_id, many.environment.id, NOW, letters=MANY
        )
        copies(connection, connections, made.connection_id, name=lambda at: f"Connection {at}")
    return {
        "source_id": str(made.source_id),
        "connection_id": str(made.connection_id),
        "letter_id": str(made.letter_id),
        "slug": "webhook",
        "environment": "production",
        "user_id": str(identified_user_id(many.environment.id, WHO)),
        "key": "flag",
        "event_id": first(tables.defined_events),
        "segment_id": first(tables.segments),
        "rule_id": rule,
        "app_id": str(app.id),
        "kind": "files",
        "audience_id": audience,
        "list_id": "lown0",
    }


@pytest.fixture(scope="module")
def browser(world: World, many: Tenant) -> Iterator[Browser]:
    with TestClient(build_web(world.core), base_url="http://cairn.test") as client:
        yield Browser(client).sign_in(many.email())


# Lists of what there are thousands of; the other pages must only stay small.
LONG = {
    "",
    "/live",
    "/users",
    "/users/{user_id}",
    "/segments",
    "/flags",
    "/flags/{key}",
    "/flags/{key}/rules/new",
    "/segments/new",
    "/events",
    "/events/new",
    "/keys",
    "/tokens",
    "/environments",
    "/account",
    "/heap",
    "/heap/add",
    "/lists",
    "/connections",
    "/keys/sources/{source_id}",
}
INSIDE = [page.path for page in addresses() if page.path.startswith("/env/{environment}")]


@pytest.mark.parametrize("path", INSIDE)
def test_no_page_grows_with_what_was_made_and_says_how_much_more_there_is(
    browser: Browser, values: dict[str, str], path: str
) -> None:
    answer = browser.get(url_of(path, values))
    # The link to the labeller needs an address.
    assert answer.status_code == (422 if path.endswith("/label/open") else 200), path
    assert len(answer.content) < LARGEST
    if path.removeprefix("/env/{environment}") in LONG:
        assert MORE.search(re.sub(r"<[^>]*>|\s+", " ", answer.text)), "it does not say that there are more"


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/segments", r'/segments/(\d+)"'),
        ("/flags", r'/flags/(\w+)"'),
        ("/events", r'/events/(\d+)"'),
        ("/keys", r"/keys/sources/(\d+)/toggle"),
        ("/tokens", r"/tokens/(\d+)/delete"),
        ("/environments", r'href="/env/(e\d+)"'),
        ("/account", r"<small>(m\d+@many.test)"),
    ],
)
def test_what_a_page_leaves_out_is_on_its_next_ones(browser: Browser, path: str, pattern: str) -> None:
    address, seen = f"/env/production{path}", set[str]()
    for _ in range(3):
        page = browser.get(address).text
        assert page
        found = set(re.findall(pattern, page)) - {"new"}
        assert len(found - seen) >= 95, "it shows others than the page before"
        seen |= found
        following = re.search(r'href="([^"]*\bfrom=\d+[^"]*)"[^>]*>\s*Next', page)
        assert following
        address = following[1].replace("&amp;", "&")

"""The reference story made ready: one workspace, its segments, its flag, and weeks of generated history.

Made once per data directory; asked again, it tells the same keys. What must be told again is kept sealed.
"""

import base64
import secrets
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from cairn.conditions.tree import Did, EventMatch, InList, Last, PropertyFilter, UserProperty
from cairn.db.engine import Lock, patient, reading, take
from cairn.db.tables import workspaces
from cairn.definitions.defined_event import create_defined_event
from cairn.definitions.model import Definition, NewDefinedEvent, Part
from cairn.demo.history import arrivals
from cairn.eventlog.log import EventLog
from cairn.flags.definition import NewFlag, create_flag, set_flag_state
from cairn.flags.model import Allocation, Metric, Variable, Variation
from cairn.flags.rule_definition import NewRule, add_rule
from cairn.ids import new_token
from cairn.routing.catalogue import destination
from cairn.routing.connections import ConnectionChange, create_connection
from cairn.segments.definition import NewSegment, create_segment
from cairn.workspace.api_token import create_token
from cairn.workspace.environment import list_environments, reveal_sdk_key
from cairn.workspace.member import create_member
from cairn.workspace.permission import Role
from cairn.workspace.sealed import Seal
from cairn.workspace.source import list_sources, reveal_write_key
from cairn.workspace.workspace import Workspace, create_workspace

EMAIL = "demo@cairn.test"
FLAG = "featureFlag"


def ensure(engine: sa.Engine, seal: Seal, log: EventLog, *, now: datetime) -> dict[str, Any]:
    """Make the demo workspace if there is none; return its sign-in and keys.

    Guarantee: one transaction; the history is appended after it and carries idempotency keys, so a second try
    after a crash doubles nothing.
    """
    with reading(engine) as connection:
        keys = _kept_keys(connection, seal)
    if keys is not None:
        return keys
    with patient(engine).begin() as connection:
        take(connection, Lock.DEFINITIONS)
        keys = _kept_keys(connection, seal)  # somebody else may be making it
        if keys is None:
            keys = _make(connection, seal, now)
            _append_history(
                log, keys, now
            )  # before the commit: a crash repeats it, and repeats are dropped by their keys
            connection.execute(
                sa.update(workspaces)
                .where(workspaces.c.is_demo)
                .values(demo_sealed=seal.close(msgspec.json.encode(keys).decode()))
            )
    return keys


def _kept_keys(connection: sa.Connection, seal: Seal) -> dict[str, Any] | None:
    sealed = connection.execute(sa.select(workspaces.c.demo_sealed).where(workspaces.c.is_demo)).scalar()
    return msgspec.json.decode(seal.open(sealed)) if sealed else None


def _make(connection: sa.Connection, seal: Seal, now: datetime) -> dict[str, Any]:
    workspace = create_workspace(connection, seal, name="Demo shop", now=now, is_demo=True)
    password = new_token("demo")[:20]
    create_member(
        connection, workspace.id, email=EMAIL, name="Demo owner", password=password, role=Role.OWNER, now=now
    )
    _, token = create_token(connection, workspace.id, name="Demo", now=now)
    _define_events(connection, workspace, now)
    segments = _make_segments(connection, workspace, now)
    _connect(connection, workspace, seal, now)
    _make_flag(connection, workspace, segments, now)
    environments = {
        environment.key: {
            "environment_id": environment.id,
            "app_id": environment.app_id,
            "sdk_key": reveal_sdk_key(connection, workspace.id, environment.id, seal),
            "write_keys": {
                source.kind: reveal_write_key(connection, workspace.id, source.id, seal)
                for source in list_sources(connection, workspace.id)
                if source.environment_id == environment.id
            },
        }
        for environment in list_environments(connection, workspace.id)
    }
    return {
        "email": EMAIL,
        "password": password,
        "workspace_id": workspace.id,
        "account_id": workspace.account_id,
        "environments": environments,
        "api_token": token,
        "segments": segments,
        "flag": FLAG,
    }


def _project_id(connection: sa.Connection, workspace: Workspace) -> int:
    return list_environments(connection, workspace.id)[0].project_id


def _make_segments(connection: sa.Connection, workspace: Workspace, now: datetime) -> dict[str, int]:
    project_id = _project_id(connection, workspace)
    made = {}
    for new in (
        NewSegment(
            key="heap_premium_users",
            name="Premium users",
            description="Everybody whose plan is premium.",
            condition=UserProperty("plan", "is", "premium"),
        ),
        NewSegment(
            key="active_buyers",
            name="Active buyers",
            description="Bought at least twice in the last 30 days.",
            condition=Did(EventMatch(name="Order Completed"), "at_least", 2, Last(30, "day")),
        ),
    ):
        made[new.key] = create_segment(connection, workspace.id, project_id, new, now).id
    return made


def _connect(connection: sa.Connection, workspace: Workspace, seal: Seal, now: datetime) -> None:
    """To an address that nobody has, and so switched off: for the pages to show what a connection is."""
    production = list_environments(connection, workspace.id)[0].id
    server = next(
        source
        for source in list_sources(connection, workspace.id)
        if source.environment_id == production and source.kind == "server"
    )
    example = ConnectionChange(
        name="Example webhook",
        is_enabled=False,
        settings={"url": "https://hooks.example/cairn"},
        secrets={"secret": f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"},
        rules={"filters": [{"name": "Pings", "condition": "event = 'Internal Ping'", "action": "drop"}]},
    )
    create_connection(
        connection, workspace.id, server.id, destination("webhook"), seal, example, log_end=0, now=now
    )


DEFINED = (  # (name, category, description, part)
    ("Cart - Add", "Cart", "The button on a product's page.", Part("click", selector="main button.add")),
    ("Cart - Open", "Cart", "The link in the header.", Part("click", selector="header a.basket")),
    (
        "Product - View",
        "Product",
        "Any product's page.",
        Part("pageview", tests=(PropertyFilter("path", "contains", "/product/"),)),
    ),
    ("Checkout - Start", "Checkout", "", Part("click", tests=(PropertyFilter("text", "is", "Check out"),))),
    ("Checkout - Order", "Checkout", "The form is sent.", Part("submit", selector="form.checkout")),
)


def _define_events(connection: sa.Connection, workspace: Workspace, now: datetime) -> None:
    project_id = _project_id(connection, workspace)
    for name, category, description, part in DEFINED:
        new = NewDefinedEvent(name, Definition((part,)), category, description)
        create_defined_event(connection, workspace.id, project_id, new, now)


def _append_history(log: EventLog, keys: dict[str, Any], now: datetime) -> None:
    production = keys["environments"]["production"]
    for arrival in arrivals(production["environment_id"], production["app_id"], now=now):
        log.append([msgspec.msgpack.encode(arrival)])


VARIABLES = (
    Variable(1, "headline", "string", "Everything for the trail"),
    Variable(2, "free_shipping_over", "integer", 100),
    Variable(3, "discount", "double", 0.05),
    Variable(4, "show_gifts", "boolean", False),
    Variable(5, "theme", "json", {"accent": "stone", "columns": 2}),
)
VARIATIONS = (
    Variation(1, "standard", "Standard"),
    Variation(
        2,
        "premium",
        "Premium",
        {
            "headline": "Welcome back, and shipping is on us",
            "free_shipping_over": 0,
            "discount": 0.15,
            "show_gifts": True,
            "theme": {"accent": "moss", "columns": 3},
        },
    ),
)


def _make_flag(
    connection: sa.Connection, workspace: Workspace, segments: dict[str, int], now: datetime
) -> None:
    new = NewFlag(
        key=FLAG,
        name="Premium checkout",
        description="A friendlier checkout for people who already trust us.",
        variables=VARIABLES,
        variations=VARIATIONS,
        metrics=(Metric(1, "order_completed", has_props=True, revenue_prop="total"),),
    )
    flag_id = create_flag(connection, workspace.id, _project_id(connection, workspace), new, now).flag.id
    for environment in list_environments(connection, workspace.id):
        for key, name, attribute, segment, variation in (
            ("premium", "Premium users from Heap", "your_custom_variable", "heap_premium_users", 2),
            ("buyers", "Active buyers", "buyer_id", "active_buyers", 1),
        ):
            rule = NewRule(
                kind="rollout",
                key=key,
                name=name,
                condition=InList(attribute, segment_id=segments[segment]),
                allocations=(Allocation(variation),),
            )
            add_rule(connection, workspace.id, flag_id, environment.id, rule, now)
        set_flag_state(connection, workspace.id, flag_id, environment.id, True, now)

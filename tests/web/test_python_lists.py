"""Lists in the settings of Python's SDK: a switch for each environment, with the vendor's client on the other side."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any, Literal, cast

import pytest

from cairn.conditions.tree import Condition, InList, Not, UserProperty
from cairn.db.engine import reading
from cairn.edge import PublishedDirectory
from cairn.flags.definition import NewFlag, create_flag, list_flags, set_flag_state
from cairn.flags.model import Allocation
from cairn.flags.rule_definition import NewRule, add_rule, delete_rule, list_rules
from cairn.gateway.app import Gateway
from cairn.members.askers import note_python, python_asked_on, python_set
from cairn.members.sets import MembersAndDocuments
from cairn.published.settings_file import document_name
from cairn.publisher import Publisher
from cairn.segments.definition import NewSegment, create_segment
from cairn.workspace.environment import Environment, reveal_sdk_key
from cairn.workspace.permission import Role
from cairn.workspace.workspace import get_workspace
from tests.gateway.serving import Port
from tests.gateway.test_sdks import RUNNERS
from tests.web.conftest import NOW, Browser, World
from tests.web.editing import HERE
from tests.world import Tenant

pytestmark = pytest.mark.slow

MEMBER, OTHER = "mia@shop.test", "olga@shop.test"


class Applications:
    """A gateway before the world's members store, and what the vendor's clients decide by it."""

    def __init__(self, world: World) -> None:
        core = world.core
        members = cast(MembersAndDocuments, core.members)  # the one store is both
        directory = PublishedDirectory(members)
        self._world, self._port = world, Port()
        self._publisher = Publisher(core.engine, members, core.settings)
        self._gateway = Gateway(
            members, members, directory, self._append, lambda: NOW, refresh=directory.refresh
        )
        self._port.app = self._gateway

    async def _append(self, arrivals: list[Any]) -> None:
        pass  # what the clients say of themselves is no part of this

    def settings(self, sdk: Literal["node", "python"], environment: Environment) -> bytes:
        return (
            cast(MembersAndDocuments, self._world.core.members).document(document_name(environment.id, sdk))
            or b""
        )

    def decide(self, sdk: str, environment: Environment) -> list[bool]:
        """Flag `f` for somebody in the list and somebody who is not."""
        self._publisher.publish_all()
        core = self._world.core
        with reading(core.engine) as connection:
            key = reveal_sdk_key(connection, environment.workspace_id, environment.id, core.seal)
            account = get_workspace(connection, environment.workspace_id).account_id
        asked = {
            "url": f"http://127.0.0.1:{self._port.number}",
            "key": key,
            "account": account,
            "values": [MEMBER, OTHER],
            "withAlias": False,
        }
        done = subprocess.run(
            RUNNERS[sdk], input=json.dumps(asked), capture_output=True, text=True, timeout=90
        )
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout.splitlines()[-1])["enabled"])

    def close(self) -> None:
        self._gateway.close()
        self._port.close()


@pytest.fixture
def applications(world: World) -> Iterator[Applications]:
    opened = Applications(world)
    yield opened
    opened.close()


def make_flag(world: World, tenant: Tenant, condition: Condition) -> None:
    """Flag `f`, on in the tenant's first environment for whom the condition holds."""
    with world.core.writing() as connection:
        project, here = tenant.environment.project_id, tenant.environment.id
        known = list_flags(connection, tenant.workspace_id, project)
        made = known[0] if known else create_flag(connection, tenant.workspace_id, project, NewFlag("f"), NOW)
        for rule in list_rules(connection, tenant.workspace_id, made.flag.id, here):
            delete_rule(connection, tenant.workspace_id, rule.id)
        rule_wanted = NewRule("rollout", "r", (Allocation(1),), condition=condition)
        add_rule(connection, tenant.workspace_id, made.flag.id, here, rule_wanted, NOW)
        set_flag_state(connection, tenant.workspace_id, made.flag.id, here, True, NOW)


@pytest.fixture(scope="module")
def segment_id(world: World) -> int:
    world.user(MEMBER, plan="premium")
    world.user(OTHER, plan="free")
    return make_segment(world, world.a)


def make_segment(world: World, tenant: Tenant) -> int:
    with world.core.writing() as connection:
        new = NewSegment(key="premium", name="Premium", condition=UserProperty("plan", "is", "premium"))
        made = create_segment(connection, tenant.workspace_id, tenant.environment.project_id, new, NOW)
    world.live.settle()
    return made.id


@pytest.mark.parametrize("is_negated", [False, True], ids=["in", "not in"])
def test_python_gets_a_list_only_where_the_switch_is_on_and_pages_say_what_it_lacks(
    world: World, owner: Browser, applications: Applications, segment_id: int, is_negated: bool
) -> None:
    here = world.a.environment
    asked = InList("who", segment_id=segment_id)
    make_flag(world, world.a, Not(asked) if is_negated else asked)
    owner.get(f"{HERE}/keys")
    owner.post(f"{HERE}/keys/python-lists", {"on": ""})
    assert applications.decide("python", here) == [False, False]
    assert MEMBER.encode() not in applications.settings("python", here)
    page, home = owner.get(f"{HERE}/flags/f").text, owner.get(HERE).text
    assert f"Python's SDK asked for settings here on {NOW:%Y-%m-%d}" in page
    assert "holds 1 value of it" in re.sub(r"\s+", " ", page).replace("the settings file ", "")
    assert f"{HERE}/keys#python-lists" in page and f"{HERE}/keys#python-lists" in home
    assert "Python&#39;s SDK asks for f without the lists they need" in home

    owner.get(f"{HERE}/keys")
    answer = owner.post(f"{HERE}/keys/python-lists", {"on": "1"})
    assert "Anyone with the SDK key can read every identity" in answer.text
    assert applications.decide("python", here) == [not is_negated, is_negated]
    assert "does not get the list" not in owner.get(f"{HERE}/flags/f").text
    assert "without the lists" not in owner.get(HERE).text


def test_nobody_is_bothered_where_only_node_asks(
    world: World, browse: Callable[..., Browser], applications: Applications
) -> None:
    rival = browse().enter(world.core, world.b.email())
    make_flag(world, world.b, InList("who", segment_id=make_segment(world, world.b)))
    applications.decide("node", world.b.environment)
    assert "Python&#39;s SDK" not in rival.get(HERE).text
    assert "Python's SDK asked" not in rival.get(f"{HERE}/flags/f").text
    assert "No Python SDK has asked here yet" in rival.get(f"{HERE}/keys").text
    applications.decide("python", world.b.environment)
    assert "Python&#39;s SDK asks for f" in rival.get(HERE).text


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_who_may_not_change_an_environment_may_not_reveal_its_lists(
    world: World, browse: Callable[..., Browser], role: Role
) -> None:
    browser = browse().enter(world.core, world.a.email(role))
    assert "python-lists" in browser.get(f"{HERE}/keys").text
    assert browser.post(f"{HERE}/keys/python-lists", {"on": "1"}).status_code == 403


def test_the_day_python_asked_is_kept_once_and_moves_on(world: World) -> None:
    members, environment_id = world.core.members, 4711
    assert python_asked_on(members, environment_id) is None
    for day in (date(2026, 11, 1), date(2026, 11, 1), date(2026, 11, 3)):
        note_python(members, environment_id, day)
        assert python_asked_on(members, environment_id) == day
    assert members.size(python_set(environment_id)) == 1

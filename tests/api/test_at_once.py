"""Two requests at the same time: one is done, the others are told what is taken, and none is an error of ours."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api.conftest import World, make_tenant
from tests.api.test_versions import EVENT, RULE, RULES, SEGMENT, Editors, Role

WRITERS = 4
FLAG = {"key": "lost"}


@pytest.fixture
def editors(world: World, request: pytest.FixtureRequest) -> Editors:
    return Editors(world, make_tenant(world.core, f"o{abs(hash(request.node.name)) % 10**9}"))


def at_once(
    editors: Editors, method: str, path: str, bodies: list[Any], seen: str | None = None
) -> list[Any]:
    with ThreadPoolExecutor(len(bodies)) as threads:
        return list(threads.map(lambda body: editors(Role.EDITOR, method, path, body, seen=seen), bodies))


@pytest.mark.parametrize(
    ("path", "new"),
    [
        pytest.param("/segments", SEGMENT, id="segment"),
        pytest.param("/flags", FLAG, id="flag"),
        pytest.param(RULES, RULE, id="rule"),
    ],
)
def test_a_key_that_many_want_goes_to_one(editors: Editors, path: str, new: Any) -> None:
    answers = at_once(editors, "POST", path, [new] * WRITERS)
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * (WRITERS - 1)
    assert {answer.json()["field"] for answer in answers if answer.status_code == 409} == {"key"}


@pytest.mark.parametrize(
    ("path", "new", "part"),
    [
        pytest.param("/segments", SEGMENT, "id", id="segment"),
        pytest.param("/flags", FLAG, "key", id="flag"),
        pytest.param("/defined-events", EVENT, "id", id="defined event"),
    ],
)
def test_of_changes_to_one_version_one_is_made(editors: Editors, path: str, new: Any, part: str) -> None:
    made = editors(Role.EDITOR, "POST", path, new)
    own = f"{path}/{made.json()[part]}"
    bodies = [{"name": f"Name {number}"} for number in range(WRITERS)]
    answers = at_once(editors, "PATCH", own, bodies, made.headers["etag"])
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] + [412] * (WRITERS - 1), [answer.text for answer in answers]

"""What pages call things: tokens made once, users alike streamed and loaded, calls by their kind, Cairn's own names."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from cairn.app.access import list_tokens
from cairn.app.call import Call
from cairn.clock import to_ms
from cairn.conditions.tree import UserProperty
from cairn.db.tables import holdouts
from cairn.event import Arrival, Kind, Refused
from cairn.outcomes import Reason
from cairn.routing.destinations.heap_builtin import deliver
from cairn.segments.definition import NewSegment, create_segment
from cairn.web.english import plain, sentence
from cairn.wire.segment import parse_segment
from cairn.workspace.permission import Role
from tests.web.conftest import NOW, Browser, World

HERE = "/env/production"
SECRET = re.compile(r"cairn_[\w-]{40,}")


def token_names(world: World) -> list[str]:
    return [
        token.name for token in list_tokens(Call(world.core, world.a.workspace_id, "test", Role.OWNER, NOW))
    ]


def test_a_reload_shows_no_secret_again_and_makes_no_second_token(
    world: World, owner: Browser, browse: Callable[[], Browser]
) -> None:
    owner.get(f"{HERE}/tokens")
    answer = owner.post(f"{HERE}/tokens", {"name": "once", "role": "viewer"}, follow_redirects=False)
    assert answer.status_code == 303 and not SECRET.search(answer.headers["location"])
    page = answer.headers["location"]
    other = browse().enter(world.core, world.a.email())
    assert not SECRET.search(other.get(page).text)  # another session of the same member
    assert SECRET.search(owner.get(page).text)
    assert not SECRET.search(owner.get(page).text)
    assert token_names(world).count("once") == 1


def test_live_names_users_alike_when_streamed_and_when_loaded(world: World, owner: Browser) -> None:
    world.user("eva@shop.test")
    world.event("Streamed", "eva@shop.test", minutes_ago=0.5)
    world.event("Streamed", "nameless", minutes_ago=0.4)  # nothing says that this is an identity
    user = re.compile(r'href="/env/production/users/\d+">\s*([^<]*?)\s*<')
    streamed = owner.get(f"{HERE}/live/rows?after=0&q=Streamed").text
    loaded = owner.get(f"{HERE}/live?q=Streamed").text.split('class="feed')[1]
    assert user.findall(streamed) == user.findall(loaded)[: len(user.findall(streamed))] != []
    assert "eva@shop.test" in streamed


class _Identification:
    def __init__(self, name: str, **properties: str) -> None:
        self.kind, self.name, self.properties = Kind.IDENTIFY, name, properties
        self.facts: dict[str, str] = {}
        self.element = None


@pytest.mark.parametrize(
    ("event", "words"),
    [
        pytest.param(_Identification("Identify"), "Was identified", id="browser identify"),
        pytest.param(
            _Identification("Identify", identity="ann"), "Was identified as ann", id="with its identity"
        ),
        pytest.param(_Identification("Identify", plan="pro"), "Set plan to pro", id="with traits"),
        pytest.param(
            _Identification("Set properties"), "User properties were set", id="no properties at all"
        ),
        pytest.param(
            _Identification("Set properties", a="1", b="2", c="3", d=""),
            "Set a to 1 and b to 2 and 2 more",
            id="many",
        ),
        pytest.param(
            _Identification("First seen", utm_source="ad"), "Was seen for the first time", id="first seen"
        ),
        pytest.param(_Identification("Set properties", plan=""), "Set plan to nothing", id="emptied"),
    ],
)
def test_an_identification_reads_as_one(event: Any, words: str) -> None:
    assert plain(sentence(event)) == words


@pytest.mark.parametrize(
    ("library", "by"),
    [
        ("", "the API"),
        ("server", "the API"),
        ("web", "the browser"),
        ("ios", "the app"),
        ("vwo-fme-node-sdk 1.9.0", "a flag SDK (vwo-fme-node-sdk 1.9.0)"),
        ("analytics-node", "analytics-node"),
    ],
)
def test_an_identification_says_by_whom(library: str, by: str) -> None:
    assert plain(sentence(_Identification("Identify", plan="pro"), library)) == f"Set plan to pro, by {by}"


def test_names_that_cairn_captures_itself_are_not_unplanned(world: World, owner: Browser) -> None:
    for name in ("Rage click", "Dead click", "Scroll depth", "Web vitals", "JavaScript error", "Of the shop"):
        world.event(name)
    text = owner.get(f"{HERE}/events").text.split("Unplanned names")[1]
    assert "Of the shop" in text
    assert not any(
        name in text
        for name in ("Rage click", "Dead click", "Scroll depth", "Web vitals", "JavaScript error")
    )


@pytest.mark.parametrize("kind", ["page", "screen", "group", "alias"])
@pytest.mark.parametrize("in_path", [True, False])
def test_segments_other_calls_are_named_as_such(
    world: World, owner: Browser, kind: str, in_path: bool
) -> None:
    body = b'{"userId":"u1"}' if in_path else f'{{"batch":[{{"type":"{kind}","userId":"u1"}}]}}'.encode()
    extra = {"type": kind if in_path else "batch", "workspace_id": 1, "kind": "server"}
    arrival = Arrival("segment", world.a.environment.id, 0, "Server", to_ms(NOW), "", "", body, extra)
    checked = parse_segment(arrival)[0]
    refused = checked if isinstance(checked, Refused) else deliver(checked)  # type: ignore[arg-type]
    assert isinstance(refused, Refused) and refused.reason == Reason.UNSUPPORTED_EVENT_TYPE
    world.refuse(refused)
    assert f"Segment&#39;s {kind} call" in owner.get(f"{HERE}/live/rows?after=0").text


def test_companies_and_ones_own_sign_in_are_told_apart(owner: Browser) -> None:
    page = owner.get(f"{HERE}/accounts").text
    assert "<h1>Companies</h1>" in page and ">Your sign-in</a>" in page
    assert "<h1>Your sign-in</h1>" in owner.get(f"{HERE}/account").text


def test_an_identification_does_not_tear_a_session_apart(world: World, owner: Browser) -> None:
    user_id = world.user("fay@shop.test")
    for minutes, kind, session in (
        (9, Kind.PAGEVIEW, 77),
        (8, Kind.IDENTIFY, 0),
        (7, Kind.PAGEVIEW, 77),
        (6, Kind.IDENTIFY, 0),
    ):
        world.event(f"{kind} {minutes}", "fay@shop.test", minutes_ago=minutes, kind=kind, session_id=session)
    world.event("From a server", "fay@shop.test", minutes_ago=60)
    page = owner.get(f"{HERE}/users/{user_id}").text
    titles = [" ".join(title.split()) for title in re.findall(r"<h3>(.*?)</h3>", page, re.S)]
    assert len([title for title in titles if "session 1" in title]) == 1
    assert len([title for title in titles if "outside of sessions" in title]) == 1


def test_a_holdout_that_asks_for_a_segment_is_named_and_never_linked_as_a_flag(
    world: World, owner: Browser
) -> None:
    new = NewSegment("held", "Held", UserProperty("plan", "is", "held"))
    here = world.a.environment
    with world.core.engine.begin() as connection:
        segment = create_segment(connection, world.a.workspace_id, here.project_id, new, NOW)
        asked = {"type": "in_list", "attribute": "id", "segment_id": segment.id}
        connection.execute(
            sa.insert(holdouts).values(environment_id=here.id, name="Control", body={"condition": asked})
        )
    page = owner.get(f"{HERE}/segments/{segment.id}").text
    assert "holdout Control" in page.split("Used by")[1]
    assert "It is still used" in page, "deleting it says so beforehand"
    assert "/flags/Control" not in page
    with world.core.engine.begin() as connection:
        connection.execute(sa.delete(holdouts))

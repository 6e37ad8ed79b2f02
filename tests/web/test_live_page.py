"""Live and Home: what arrived, what was refused, and why."""

import re
from collections.abc import Callable
from dataclasses import replace

from msgspec import structs

from cairn.event import Refused
from cairn.outcomes import Reason
from cairn.workspace.permission import Role
from tests.web.conftest import NOW, Browser, World
from tests.web.editing import HERE


def test_live_shows_outcomes_with_their_reason_and_filters(world: World, owner: Browser) -> None:
    world.event("Signed Up", "liv@shop.test", properties={"plan": "free"})
    at = int(NOW.timestamp() * 1000) - 30_000
    here = world.a.environment.id
    world.refuse(
        Refused(here, at, Reason.JUNK_IDENTITY, "identity 'undefined'", "Broken", "undefined", "Server", "{}")
    )
    world.refuse(Refused(0, at, Reason.UNKNOWN_KEY, "wk_zzz", "Lost", "", "", '{"lost": 1}'))
    page = owner.read(f"{HERE}/live").text
    assert "Signed Up · plan free" in page
    assert "would merge unrelated users" in page and "identity 'undefined'" in page
    assert "Lost" not in page
    assert "Broken" not in owner.get(f"{HERE}/live?outcome=accepted").text
    assert "Signed Up" not in owner.get(f"{HERE}/live?outcome=invalid").text
    assert "Signed Up" in owner.get(f"{HERE}/live?user=liv@shop.test&q=free").text
    assert "Nothing matches" in owner.get(f"{HERE}/live?q=nowhere").text
    assert "Lost" in owner.get(f"{HERE}/live?keys=unknown").text
    rows = owner.get(f"{HERE}/live/rows?after=0&outcome=invalid")
    assert "Broken" in rows.text and "Signed Up" not in rows.text
    assert "Signed Up" in owner.get(f"{HERE}/live/rows?after=0&user=liv").text
    assert owner.get(f"{HERE}/live/rows?after={rows.headers['x-after']}").text == ""
    restarted = owner.get(f"{HERE}/live/rows?after=999999999")
    assert "Broken" in restarted.text, "a page that outlived the core starts again"
    home = owner.get(HERE).text
    assert "refused in the last hour" in home and "unknown key in the last hour" in home


def test_home_counts_the_rarer_reasons_of_refusal_together(world: World, owner: Browser) -> None:
    at = int(NOW.timestamp() * 1000) - 20_000
    reasons = (
        Reason.TOO_DEEP,
        Reason.NOT_UTF8,
        Reason.NO_USER,
        Reason.BAD_TIMESTAMP,
        Reason.TIME_TOO_OLD,
        Reason.TYPE_UNKNOWN,
    )
    for number, reason in enumerate(reasons):
        for _ in range(50 - number):
            world.refuse(Refused(world.a.environment.id, at, reason, "", "Broken", "", "Server", "{}"))
    home = owner.get(HERE).text
    for reason in reasons[:4]:
        assert f"/live?outcome=invalid&amp;q={reason}" in home
    assert "Time too old" not in home and "Type unknown" not in home
    assert re.search(r"For \d other reasons", home)


def test_requests_with_an_unknown_key_are_shown_to_who_runs_the_machine_only(
    world: World, owner: Browser, browse: Callable[..., Browser]
) -> None:
    at = int(NOW.timestamp() * 1000) - 1000
    world.refuse(Refused(0, at, Reason.UNKNOWN_KEY, "", "Somebody else's", "", "", "{}"))
    unnamed = replace(world.core, settings=structs.replace(world.core.settings, operators=()))
    others = [
        browse().enter(world.core, world.a.email(Role.EDITOR)),
        browse().enter(world.core, world.b.email()),
        browse(unnamed).sign_in(world.a.email()),  # the first workspace's owner, of two workspaces
    ]
    for path in ("/live?keys=unknown", "/live/rows?keys=unknown&after=0"):
        assert "Somebody else" in owner.get(HERE + path).text
        for other in others:
            assert "Somebody else" not in other.get(HERE + path).text
    assert "unknown key in the last hour" in owner.get(HERE).text
    assert not [other for other in others if "unknown key in the last hour" in other.get(HERE).text]

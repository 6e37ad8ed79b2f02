"""A form filled in from an older version is refused, says who changed what, and keeps what was typed."""

import re
from collections.abc import Callable

from cairn.app import editions
from cairn.app.call import Call
from cairn.app.segments import SegmentChanges, change_segment, create_segment, get_segment
from cairn.conditions.tree import UserProperty
from cairn.segments.definition import NewSegment
from cairn.workspace.permission import Role
from tests.web.conftest import NOW, Browser, World


def test_a_stale_form_is_refused_told_of_and_kept(world: World, browse: Callable[..., Browser]) -> None:
    ann, here = browse().sign_in("editor@shop.test"), f"/env/{world.a.environment.id}"
    ben = Call(world.core, world.a.workspace_id, "ben@shop.test", Role.EDITOR, NOW)
    new = NewSegment(key="stale", name="Stale", condition=UserProperty("plan", "is_set"))
    seen = create_segment(ben, world.a.environment.project_id, new)
    change_segment(ben, seen.value.id, SegmentChanges(description="Ben's words"))
    page = f"{here}/segments/{seen.value.id}/edit"
    form = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', ann.get(page).text))
    typed = {**form, "name": "Ann's name", "description": "", "do": "save"}
    refused = ann.post(page, {**typed, "edition": str(seen.edition)})
    assert refused.status_code == 412
    assert "ben@shop.test changed description" in refused.text
    assert "Ann&#39;s name" in refused.text
    assert get_segment(ben, seen.value.id).description == "Ben's words"
    newest = editions.list_edits(ben, "segment", seen.value.id)[0]
    assert (newest.by, newest.what) == ("ben@shop.test", ("description",))

"""What is found wrong with definitions: stopped ones with a way out, duplicates, names nobody planned."""

from datetime import UTC
from pathlib import Path

import pytest

from cairn.analysis.event_health import Finding, findings, judged, reports, unplanned
from cairn.analysis.query.asker import Asker
from cairn.analysis.query.run import Questions
from cairn.analysis.volume import NamesSeen
from cairn.calendar import last_days
from cairn.conditions.tree import PropertyFilter
from cairn.db.engine import reading
from cairn.definitions.expected import planned_names
from cairn.definitions.matching import Definitions
from cairn.definitions.model import Definition, Part
from cairn.event import Draft, Element
from cairn.store.store import Store
from tests.definitions.world import NOW, Project, load
from tests.segments.histories import NOW_MS

DAY = 86_400_000
DAYS = last_days(NOW, UTC, 30)
OLD = Element("@main;#shop;|@button;.buy;.btn;|", "button", "", "btn buy", "Buy")
NEW = Element("@main;#shop;|@button;.btn;.purchase;|", "button", "", "btn purchase", "Buy")
STEADY = [10] * 30


@pytest.mark.parametrize(
    ("days", "everything", "state"),
    [
        pytest.param(STEADY, [100] * 30, "good", id="as ever"),
        pytest.param([10] * 27 + [0] * 3, [100] * 30, "broken", id="stopped"),
        pytest.param([10] * 27 + [1, 0, 1], [100] * 30, "broken", id="all but stopped"),
        pytest.param([10] * 27 + [4, 4, 4], [100] * 30, "good", id="less"),
        pytest.param([10] * 27 + [0] * 3, [100] * 27 + [0] * 3, "good", id="a holiday"),
        pytest.param([0] * 30, [100] * 30, "silent", id="never"),
        pytest.param([0] * 26 + [9, 9, 9, 9], [100] * 30, "new", id="new"),
        pytest.param([1] * 27 + [0] * 3, [100] * 30, "good", id="too rare to tell"),
    ],
)
def test_state(days: list[int], everything: list[int], state: str) -> None:
    assert judged(days, everything) == state


def test_findings(store: Store, tmp_path: Path) -> None:
    project = Project(tmp_path, 8_001)
    here = project.environment_ids[0]
    drafts = []
    for day in range(25):
        for number in range(6):
            at = NOW_MS - day * DAY - number * 1_000 - 1
            element = NEW if day < 3 else OLD
            drafts.append(
                Draft(here, "click", "", at, at, user_id=1, event_id=len(drafts) + 1, element=element)
            )
    drafts.append(Draft(here, "custom", "Old name", NOW_MS - DAY, NOW_MS, user_id=1, event_id=900))
    drafts.append(Draft(here, "custom", "Fresh name", NOW_MS - 5, NOW_MS, user_id=1, event_id=901))
    load(store, drafts)
    bought = project.define(Definition((Part("click", selector="#shop > button.buy"),)), "Bought")
    same = Definition((Part("click", selector=".btn"),))
    other = Definition((Part("click", selector="button", tests=(PropertyFilter("text", "is", "Buy"),)),))
    first, second = project.define(same, "Any button"), project.define(other, "Any button again")
    project.define(Definition((Part("click", selector=".nothing"),)), "Nothing")
    project.define(Definition((Part("click", selector=".nothing-else"),)), "Nothing else")
    planned = project.define(Definition((Part("custom", "Old name"),)), "Planned")
    definitions, asker = Definitions(store), Asker(Questions(store), here)
    with reading(project.engine) as connection:
        known = reports(asker, connection, definitions, project.active(connection), DAYS)
        found = findings(asker, connection, definitions, project.workspace_id, project.project_id, DAYS)
    assert {report.event.name: report.state for report in known} == {
        "Bought": "broken",
        "Any button": "good",
        "Any button again": "good",
        "Nothing": "silent",
        "Nothing else": "silent",
        "Planned": "new",
    }
    broken, duplicate, new = found
    assert (broken.kind, broken.event_id) == ("broken", bought.id)
    assert "#shop > button" in broken.candidates
    assert (duplicate.kind, duplicate.event_id) == ("duplicate", first.id)
    assert second.name in duplicate.text
    assert (new.kind, new.event_id) == ("unplanned", 0)
    assert "“Fresh name”" in new.text
    assert [each.name for each in unplanned(asker.ask(NamesSeen(NOW_MS)), planned_names([planned], []))] == [
        "Fresh name"
    ]


def test_nothing_is_found_where_nothing_is_defined(store: Store, tmp_path: Path) -> None:
    project = Project(tmp_path, 8_002)
    with reading(project.engine) as connection:
        found: list[Finding] = findings(
            Asker(Questions(store), 8_002),
            connection,
            Definitions(store),
            project.workspace_id,
            project.project_id,
            DAYS,
        )
    assert found == []

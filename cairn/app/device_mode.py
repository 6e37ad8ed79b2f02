"""Heap in the browser of a source's pages: how it is loaded, and changing it."""

from collections.abc import Mapping
from typing import Any

from cairn.app.call import Call
from cairn.app.editions import Edited, record
from cairn.routing import builtin
from cairn.routing.builtin import InBrowser
from cairn.workspace.edits import check_edition
from cairn.workspace.source import Source


def read_all_in_browser(call: Call) -> dict[int, InBrowser]:
    """Source -> how its pages run Heap, for every source of the workspace that has pages and feeds analytics."""
    with call.reading() as connection:
        found = builtin.read_all_in_browser(connection, call.workspace_id)
    return {
        source_id: browser for source_id, browser in found.items() if call.reaches(browser.environment_id)
    }


def change_in_browser(
    call: Call,
    source: Source,
    change: Mapping[str, Any],  # Any: by each setting's kind
    *,
    expected: int | None = None,
) -> Edited[InBrowser]:
    """Pages follow within a minute, which is how long they keep a source's settings.

    Raises InvalidInput naming the setting, SourceNotFound and StaleVersion.
    """
    with call.writing() as connection:
        check_edition(connection, "source", source.id, expected)
        before = builtin.read_all_in_browser(connection, call.workspace_id).get(source.id)
        changed = builtin.change_in_browser(connection, call.workspace_id, source.id, change, now=call.now)
        what = ["browser"] if before != changed else []
        edition = record(call, connection, "source", source.id, what)
    call.changed([source.environment_id])
    return Edited(changed, edition)

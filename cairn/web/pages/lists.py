"""Integrations, Lists: every attribute list that rules can ask about, and a team's own with what is in them."""

import csv
import io
from collections.abc import Iterator
from typing import get_args

from msgspec import structs
from starlette.responses import Response, StreamingResponse

from cairn.app import lists
from cairn.app.lists import Uploaded
from cairn.errors import CairnError, InvalidInput
from cairn.lists.changing import Action
from cairn.lists.upload import Heading, Upload, ValuesRefused
from cairn.web.portion import portion
from cairn.web.render import count
from cairn.web.visit import Page, Visit, get, post, post_file
from cairn.workspace.permission import Verb

SHOWN = 20  # values on a page
HEADINGS = (
    ("auto", "is a heading if it is a word like id, user_id or email"),
    ("yes", "is a heading"),
    ("no", "is a value"),
)


def lists_page(visit: Visit, error: CairnError | None = None) -> Response:
    all_lists, text = lists.list_lists(visit.call, visit.here), visit.ask("q").lower()
    page = portion([shown for shown in all_lists if text in shown.known.name.lower()], visit.ask("from"))
    return visit.page(
        "lists.html",
        status=error.status if error else 200,
        error=error,
        page=page,
        total=len(all_lists),
        text=visit.ask("q"),
        name=visit.form.line("name"),
        folds_case=visit.form("folds_case") == "1",
    )


def make_list(visit: Visit) -> Response:
    try:
        made = lists.create_list(
            visit.call, visit.here, visit.form.line("name"), folds_case=visit.form("folds_case") == "1"
        )
    except CairnError as error:
        if not error.field:
            raise
        return lists_page(visit, error)
    return visit.go(
        visit.url(f"/lists/{made.known.id}"), f"List {made.known.name} is made. Put values into it."
    )


def list_page(visit: Visit, error: CairnError | None = None) -> Response:
    list_id = visit.part("list_id")
    shown = lists.get_list(visit.call, visit.here, list_id)
    value = visit.ask("value", longest=1_000)
    return visit.page(
        "list.html",
        status=error.status if error else 200,
        error=error,
        shown=shown,
        value=value,
        flags=sum(use.what == "flag" and not use.is_archived for use in shown.uses),
        refused_lines=error.errors if isinstance(error, ValuesRefused) else (),
        since_ms=lists.contains(visit.call, visit.here, list_id, value) if value else None,
        sample=lists.list_values(
            visit.call, visit.here, list_id, after=visit.ask("after", longest=1_000), limit=SHOWN
        ),
        headings=HEADINGS,
        may_change=visit.may(Verb.DEFINE),
        typed=visit.form("values"),
        name=visit.form.line("name", shown.known.name),
    )


def change_few(visit: Visit) -> Response:
    """Values that somebody typed, one a line."""
    action = Action.REMOVE if visit.form("do") == "remove" else Action.ADD
    text = visit.form("values").encode("utf-8", "replace")
    if not text.strip():
        return list_page(visit, InvalidInput("type at least one value", field="values"))
    return _changed(visit, action, Upload(io.BytesIO(text), "text", "no"))


def upload_file(visit: Visit) -> Response:
    how, heading = visit.form("how"), visit.form("heading")
    action = next((choice for choice in Action if choice.value == how), Action.ADD)
    if visit.upload is None:
        return list_page(visit, InvalidInput("choose a file", field="file"))
    named: Heading = next((choice for choice in get_args(Heading) if choice == heading), "auto")
    return _changed(visit, action, structs.replace(visit.upload, heading=named))


def _changed(visit: Visit, action: Action, upload: Upload) -> Response:
    try:
        done = lists.change_values(visit.call, visit.here, visit.part("list_id"), action, upload)
    except CairnError as error:
        if not error.field:
            raise
        return list_page(visit, error)
    return visit.leave(visit.url(f"/lists/{visit.part('list_id')}"), _uploaded_message(done))


def _uploaded_message(done: Uploaded) -> str:
    changed = done.changed
    said = f"{changed.added:,} added, {changed.removed:,} removed; {count(changed.size, 'value')} now."
    if done.heading:
        said += f" The first line, “{done.heading[:50]}”, was taken as heading."
    if done.columns > 1:
        said += f" Of {done.columns} columns the first was read."
    return said


def download(visit: Visit) -> Response:
    """All values as CSV, which an upload takes as it is."""
    shown = lists.get_list(visit.call, visit.here, visit.part("list_id"))
    headers = {
        "Content-Disposition": f'attachment; filename="{shown.known.id}.csv"',
        "Cache-Control": "no-store",
    }
    return StreamingResponse(_as_csv(visit), headers=headers, media_type="text/csv; charset=utf-8")


def _as_csv(visit: Visit) -> Iterator[str]:
    yield "value\r\n"
    for values in lists.every_value(visit.call, visit.here, visit.part("list_id")):
        text = io.StringIO()
        csv.writer(text).writerows((value,) for value in values)
        yield text.getvalue()


def rename(visit: Visit) -> Response:
    try:
        lists.rename_list(visit.call, visit.here, visit.part("list_id"), visit.form.line("name"))
    except CairnError as error:
        if not error.field:
            raise
        return list_page(visit, error)
    return visit.go(visit.url(f"/lists/{visit.part('list_id')}"), "The list has its new name.")


def delete(visit: Visit) -> Response:
    lists.delete_list(visit.call, visit.here, visit.part("list_id"))
    return visit.go(visit.url("/lists"), "The list is deleted, with its values.")


_LIST = "/env/{environment}/lists/{list_id}"
PAGES: tuple[Page, ...] = (
    get("/env/{environment}/lists", lists_page),
    post("/env/{environment}/lists", make_list),
    get(_LIST, list_page),
    post(f"{_LIST}/values", change_few),
    post_file(f"{_LIST}/upload", upload_file),
    get(f"{_LIST}/download", download),
    post(f"{_LIST}/rename", rename),
    post(f"{_LIST}/delete", delete),
)

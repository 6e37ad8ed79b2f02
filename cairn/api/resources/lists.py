"""Attribute lists that rules can ask about: those of every kind, and a team's own with their values."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct, structs

from cairn.api.endpoint import After, Endpoint, EnvironmentName, Limit, Next, Page, Query
from cairn.api.page import page_of
from cairn.api.resources.users import EnvironmentQuery
from cairn.app import lists
from cairn.app.call import Call
from cairn.app.lists import ShownList
from cairn.clock import from_ms
from cairn.lists.changing import Action
from cairn.lists.own import Kind
from cairn.lists.upload import MOST_CHARACTERS, Heading, Upload
from cairn.segments.used_by import Use
from cairn.workspace.permission import Verb

ListId = Annotated[str, Meta(min_length=1, max_length=64, description="A list's id, as rules name it.")]
Value = Annotated[str, Meta(max_length=MOST_CHARACTERS)]
Name = Annotated[str, Meta(max_length=400, description="1 to 100 characters; no other own list has it.")]


class ListAnswer(Struct, frozen=True):
    id: str
    name: str
    kind: Kind  # segment, heap: filled by itself; static: a team's own
    folds_case: bool  # values are compared without regard to capitals
    size: int
    version: int  # rises with every change of the values
    changed_at: datetime | None  # null: it was not filled yet
    used_by: list[Use]


class ListList(Struct, frozen=True):
    environment: str
    lists: list[ListAnswer]
    next: Next = None


class NewList(Struct, frozen=True, forbid_unknown_fields=True):
    name: Name
    folds_case: bool = False


class ListChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether it regards capitals stays: its values are kept by that."""

    name: Name


class ListValues(Struct, frozen=True, forbid_unknown_fields=True):
    """As JSON; as text/csv the first column of each line, as text/plain one value a line. Up to 256 MB."""

    values: list[str]


class ListsQuery(Page, frozen=True, kw_only=True):
    environment: EnvironmentName


class UploadQuery(EnvironmentQuery, frozen=True, kw_only=True):
    # Of text: whether its first line names the column. auto: where it is a word like id, user_id, email or value.
    heading: Heading = "auto"


class ValuesQuery(Query, frozen=True):
    environment: EnvironmentName
    after: After = ""
    limit: Limit = 50


class ContainsQuery(Query, frozen=True):
    environment: EnvironmentName
    value: Value = ""  # which is in no list


class ListedValue(Struct, frozen=True):
    value: str
    since: datetime


class ValuesAnswer(Struct, frozen=True):
    name: str
    size: int
    values: list[ListedValue]
    next: Next = None


class ContainsAnswer(Struct, frozen=True):
    name: str
    is_in: bool
    since: datetime | None


class ChangedValues(Struct, frozen=True):
    added: int
    removed: int
    size: int  # now
    heading: str  # the first line, where it was taken for the column's name; empty: it was a value


def read_lists(call: Call, query: ListsQuery) -> ListList:
    """List the attribute lists that rules can ask about, by name."""
    here = call.environment(query.environment)
    offered = lists.list_lists(call, here)
    page, rest = page_of(offered, query, key=lambda shown: (shown.known.name, shown.known.id))
    return ListList(here.name, [_answer(shown) for shown in page], rest)


def create_a_list(call: Call, query: EnvironmentQuery, body: NewList) -> ListAnswer:
    """Make an empty list of a team's own."""
    here = call.environment(query.environment)
    return _answer(lists.create_list(call, here, body.name, folds_case=body.folds_case))


def read_list(call: Call, list_id: ListId, query: EnvironmentQuery) -> ListAnswer:
    """Read one own list with its size and who asks about it."""
    return _answer(lists.get_list(call, call.environment(query.environment), list_id))


def rename_a_list(call: Call, list_id: ListId, query: EnvironmentQuery, body: ListChanges) -> ListAnswer:
    """Rename an own list. Rules name it by its id and go on."""
    return _answer(lists.rename_list(call, call.environment(query.environment), list_id, body.name))


def remove_list(call: Call, list_id: ListId, query: EnvironmentQuery) -> None:
    """Delete an own list that no rule asks about, with its values."""
    lists.delete_list(call, call.environment(query.environment), list_id)


def read_values(call: Call, list_id: ListId, query: ValuesQuery) -> ValuesAnswer:
    """List the values of an own list in a stable order."""
    here = call.environment(query.environment)
    shown = lists.get_list(call, here, list_id)
    page = lists.list_values(call, here, list_id, after=query.after, limit=query.limit)
    values = [ListedValue(value, from_ms(since_ms)) for value, since_ms in page.values]
    return ValuesAnswer(shown.known.name, page.size, values, page.next)


def list_contains(call: Call, list_id: ListId, query: ContainsQuery) -> ContainsAnswer:
    """Say whether a value is in an own list, as a rule would find it."""
    here = call.environment(query.environment)
    shown = lists.get_list(call, here, list_id)
    since_ms = lists.contains(call, here, list_id, query.value)
    return ContainsAnswer(
        shown.known.name, since_ms is not None, None if since_ms is None else from_ms(since_ms)
    )


def add_values(call: Call, list_id: ListId, query: UploadQuery, body: Upload) -> ChangedValues:
    """Add values to an own list: all that were sent, or none."""
    return _changed(call, list_id, query, Action.ADD, body)


def remove_values(call: Call, list_id: ListId, query: UploadQuery, body: Upload) -> ChangedValues:
    """Take values out of an own list; values that are not in it change nothing."""
    return _changed(call, list_id, query, Action.REMOVE, body)


def replace_values(call: Call, list_id: ListId, query: UploadQuery, body: Upload) -> ChangedValues:
    """Make an own list exactly these values, at once for every reader of it."""
    return _changed(call, list_id, query, Action.REPLACE, body)


def _changed(call: Call, list_id: str, query: UploadQuery, action: Action, body: Upload) -> ChangedValues:
    here = call.environment(query.environment)
    upload = structs.replace(body, heading=query.heading)
    done = lists.change_values(call, here, list_id, action, upload)
    return ChangedValues(done.changed.added, done.changed.removed, done.changed.size, done.heading)


def _answer(shown: ShownList) -> ListAnswer:
    known = shown.known
    return ListAnswer(
        known.id,
        known.name,
        known.kind,
        known.folds_case,
        shown.size,
        shown.version,
        known.changed_at,
        shown.uses,
    )


_LIST, _VALUES = "/lists/{list_id}", "/lists/{list_id}/values"
VALUES = {"values": ["ann@example.com", "u-17"]}
ENDPOINTS = (
    Endpoint("GET", "/lists", Verb.SEE, read_lists),
    Endpoint("POST", "/lists", Verb.DEFINE, create_a_list, example={"name": "Beta testers"}, status=201),
    Endpoint("GET", _LIST, Verb.SEE, read_list),
    Endpoint("PATCH", _LIST, Verb.DEFINE, rename_a_list, example={"name": "Early testers"}),
    Endpoint("DELETE", _LIST, Verb.DEFINE, remove_list),
    Endpoint("GET", _LIST + "/contains", Verb.SEE, list_contains),
    Endpoint("GET", _VALUES, Verb.SEE, read_values),
    Endpoint("POST", _VALUES, Verb.DEFINE, add_values, example=VALUES, spooled=ListValues),
    Endpoint("PUT", _VALUES, Verb.DEFINE, replace_values, example=VALUES, spooled=ListValues),
    Endpoint("POST", _VALUES + "/remove", Verb.DEFINE, remove_values, example=VALUES, spooled=ListValues),
)

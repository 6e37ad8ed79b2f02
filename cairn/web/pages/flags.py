"""Flags: the list, making one, and one flag with its rules, variables, metrics and SDK snippets."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from starlette.responses import Response

from cairn.db.tables import flag_states, rules, segment_states
from cairn.errors import CairnError
from cairn.flags.checks import warnings_of_metrics
from cairn.flags.definition import (
    FlagChanges,
    NewFlag,
    StoredFlag,
    archive_flag,
    create_flag,
    get_flag,
    list_flags,
    list_rules,
    restore_flag,
    set_flag_state,
    update_flag,
)
from cairn.flags.model import Rule
from cairn.segments.definition import list_segments
from cairn.web import flag_form, snippets
from cairn.web.audience import Names, identifiers_in, lines, negates_list, segments_in
from cairn.web.flag_form import MetricRow, Shape
from cairn.web.pages.keys import HIDDEN
from cairn.web.playground import LONGEST_CONTEXT, Tried, try_flag, warnings_of
from cairn.web.visit import Page, Visit, get, place_of, post
from cairn.workspace.environment import Environment, reveal_sdk_key
from cairn.workspace.permission import Verb


class Listed(Struct, frozen=True):
    stored: StoredFlag
    rules: int  # in this environment
    changed_at: datetime


class Shown(Struct, frozen=True):
    """A rule as its page tells it."""

    rule: Rule
    lines: list[Any]  # audience.Line; Any: a template reads them
    sizes: dict[int, int]  # segment id -> identified members here
    negates: bool


def flags_page(visit: Visit) -> Response:
    with_archived = visit.ask("archived") == "1"
    with visit.reading() as connection:
        found = list_flags(connection, visit.workspace_id, visit.here.project_id, with_archived=with_archived)
        counts = _rule_counts(connection, visit.here.id)
        changed = _switched(connection)
    text = visit.ask("q").lower()
    shown = [
        Listed(each, *_counted(each, counts, changed))
        for each in found
        if text in f"{each.flag.key} {each.flag.name}".lower()
    ]
    return visit.page(
        "flags.html", shown=shown, total=len(found), text=visit.ask("q"), with_archived=with_archived,
        environments=_siblings(visit), may_define=visit.may(Verb.DEFINE),
    )  # fmt: skip


def _siblings(visit: Visit) -> list[Environment]:
    """The environments of the project: each has its own switch."""
    return [each for _, each in visit.environments if each.project_id == visit.here.project_id]


def _rule_counts(connection: sa.Connection, environment_id: int) -> dict[int, tuple[int, datetime]]:
    query = (
        sa.select(rules.c.flag_id, sa.func.count(), sa.func.max(rules.c.updated_at))
        .where(rules.c.environment_id == environment_id)
        .group_by(rules.c.flag_id)
    )
    return {flag_id: (count, updated_at) for flag_id, count, updated_at in connection.execute(query)}


def _switched(connection: sa.Connection) -> dict[int, datetime]:
    query = sa.select(flag_states.c.flag_id, sa.func.max(flag_states.c.changed_at)).group_by(
        flag_states.c.flag_id
    )
    return {flag_id: at for flag_id, at in connection.execute(query)}


def _counted(
    stored: StoredFlag, counts: dict[int, tuple[int, datetime]], changed: dict[int, datetime]
) -> tuple[int, datetime]:
    number, rule_at = counts.get(stored.flag.id, (0, stored.updated_at))
    return number, max(rule_at, stored.updated_at, changed.get(stored.flag.id, stored.updated_at))


def new_flag_page(visit: Visit, shape: Shape | None = None, error: CairnError | None = None) -> Response:
    return visit.page(
        "flag_new.html", shape=shape or Shape(), error=error, choices=flag_form, form=visit.form,
        status=error.status if error else 200,
    )  # fmt: skip


def save_new_flag(visit: Visit) -> Response:
    form, shape = visit.form, flag_form.read_shape(visit.form)
    if (action := form("do", "save")) != "save":
        return new_flag_page(visit, flag_form.change(shape, action))
    try:
        variables, variations = flag_form.definition(shape, None)
        new = NewFlag(
            key=form.line("key"), name=form.line("name"), description=form.line("description"),
            lifetime="temporary" if form("lifetime") == "temporary" else "permanent", variables=variables,
            variations=variations,
        )  # fmt: skip
        with visit.core.writing() as connection:
            made = create_flag(connection, visit.workspace_id, visit.here.project_id, new, visit.now)
    except CairnError as error:
        return new_flag_page(visit, shape, error)
    visit.changed_everywhere()
    return visit.leave(
        visit.url(f"/flags/{made.flag.key}"), "The flag is made. Add a rule, then switch it on."
    )


def this_flag(visit: Visit, connection: sa.Connection) -> StoredFlag:
    """The flag of the address. Raises FlagNotFound."""
    return get_flag(connection, visit.workspace_id, visit.part("key"), project_id=visit.here.project_id)


def flag_page(visit: Visit) -> Response:
    with visit.reading() as connection:
        stored = this_flag(visit, connection)
        found = list_rules(connection, visit.workspace_id, stored.flag.id, visit.here.id)
        names = names_of(visit, connection)
        sizes = _sizes(connection, visit.here.id)
        tried = _tried(visit, connection, stored)
        warnings = warnings_of(visit.core, connection, visit.here.id, stored.flag.key)
        on_since = _on_since(connection, stored, visit.here.id)
    shown = [
        Shown(each, lines(each.condition, names), _of(sizes, each), negates_list(each.condition))
        for each in found
    ]
    return visit.page(
        "flag.html", tab="rules", stored=stored, rules=shown, tried=tried, warnings=warnings, on_since=on_since,
        asked=visit.ask("as"), context=_asked_context(visit), may_define=visit.may(Verb.DEFINE),
    )  # fmt: skip


def names_of(visit: Visit, connection: sa.Connection) -> Names:
    return Names(
        {each.id: each.key for each in list_segments(connection, visit.workspace_id, visit.here.project_id)},
        {
            each.flag.id: each.flag.key
            for each in list_flags(connection, visit.workspace_id, visit.here.project_id)
        },
    )


def _sizes(connection: sa.Connection, environment_id: int) -> dict[int, int]:
    query = sa.select(segment_states.c.segment_id, segment_states.c.identified).where(
        segment_states.c.environment_id == environment_id, segment_states.c.version > 0
    )
    return {segment_id: identified for segment_id, identified in connection.execute(query)}


def _of(sizes: dict[int, int], rule: Rule) -> dict[int, int]:
    return {each: sizes[each] for each in segments_in(rule.condition) if each in sizes}


def _on_since(connection: sa.Connection, stored: StoredFlag, environment_id: int) -> datetime | None:
    return connection.scalar(
        sa.select(flag_states.c.changed_at).where(
            flag_states.c.flag_id == stored.flag.id, flag_states.c.environment_id == environment_id,
            flag_states.c.is_on,
        )
    )  # fmt: skip


def _asked_context(visit: Visit) -> str:
    """As typed: one that is too long is said to be, not cut into something that is no JSON."""
    return visit.ask("context", longest=2 * LONGEST_CONTEXT)


def _tried(visit: Visit, connection: sa.Connection, stored: StoredFlag) -> Tried | None:
    somebody, context = visit.ask("as"), _asked_context(visit)
    if not somebody and not context:
        return None
    return try_flag(
        visit.core,
        connection,
        visit.here.id,
        stored.flag.key,
        somebody=somebody,
        context=context,
        now=visit.now,
    )


def variables_page(visit: Visit, shape: Shape | None = None, error: CairnError | None = None) -> Response:
    with visit.reading() as connection:
        stored = this_flag(visit, connection)
        on_since = _on_since(connection, stored, visit.here.id)
    return visit.page(
        "flag_variables.html", tab="variables", stored=stored, error=error,
        shape=shape or flag_form.shape_of(stored.flag),
        choices=flag_form, form=visit.form, may_define=visit.may(Verb.DEFINE), status=error.status if error else 200,
        on_since=on_since,
    )  # fmt: skip


def save_variables(visit: Visit) -> Response:
    form, shape = visit.form, flag_form.read_shape(visit.form)
    if (action := form("do", "save")) != "save":
        return variables_page(visit, flag_form.change(shape, action))
    try:
        with visit.core.writing() as connection:
            stored = this_flag(visit, connection)
            variables, variations = flag_form.definition(shape, stored.flag)
            changes = FlagChanges(
                name=form.line("name"), description=form.line("description"),
                lifetime="temporary" if form("lifetime") == "temporary" else "permanent", variables=variables,
                variations=variations,
            )  # fmt: skip
            update_flag(connection, visit.workspace_id, stored.flag.id, changes, visit.now)
    except CairnError as error:
        return variables_page(visit, shape, error)
    visit.changed_everywhere()
    return visit.leave(
        visit.url(f"/flags/{stored.flag.key}/variables"),
        "The flag is saved. Applications see it at their next poll.",
    )


def metrics_page(
    visit: Visit, rows: tuple[MetricRow, ...] | None = None, error: CairnError | None = None
) -> Response:
    with visit.reading() as connection:
        stored = this_flag(visit, connection)
        on_since = _on_since(connection, stored, visit.here.id)
    return visit.page(
        "flag_metrics.html", tab="metrics", stored=stored, error=error, choices=flag_form, on_since=on_since,
        rows=flag_form.metrics_of(stored.flag) if rows is None else rows,
        warnings=warnings_of_metrics(stored.flag.metrics), may_define=visit.may(Verb.DEFINE),
        status=error.status if error else 200,
    )  # fmt: skip


def save_metrics(visit: Visit) -> Response:
    rows, action = flag_form.read_metrics(visit.form), visit.form("do", "save")
    if action != "save":
        return metrics_page(visit, flag_form.change_metrics(rows, action))
    try:
        with visit.core.writing() as connection:
            stored = this_flag(visit, connection)
            changes = FlagChanges(metrics=flag_form.metrics(rows, stored.flag))
            update_flag(connection, visit.workspace_id, stored.flag.id, changes, visit.now)
    except CairnError as error:
        return metrics_page(visit, rows, error)
    visit.changed_everywhere()
    return visit.leave(visit.url(f"/flags/{stored.flag.key}/metrics"), "The metrics are saved.")


def sdk_page(visit: Visit) -> Response:
    with visit.reading() as connection:
        stored = this_flag(visit, connection)
        found = list_rules(connection, visit.workspace_id, stored.flag.id, visit.here.id)
        on_since = _on_since(connection, stored, visit.here.id)
        may_see = visit.may(Verb.SEE_KEYS)
        sdk_key = (
            reveal_sdk_key(connection, visit.workspace_id, visit.here.id, visit.core.seal) if may_see else ""
        )
    identifier = next((name for rule in found for name in identifiers_in(rule.condition)), "")
    variable = stored.flag.variables[0].key if stored.flag.variables else ""
    place = place_of(visit, sdk_key=sdk_key or HIDDEN)
    code = [
        make(place, stored.flag.key, variable, identifier)
        for make in (snippets.flags_node, snippets.flags_python)
    ]
    return visit.page(
        "flag_sdk.html", tab="sdk", stored=stored, code=code, place=place, identifier=identifier, may_see=may_see,
        may_define=visit.may(Verb.DEFINE), on_since=on_since,
    )  # fmt: skip


def toggle_flag(visit: Visit) -> Response:
    """In the environment of the form, which is this one on the flag's page and any on the list."""
    wanted = visit.form("at") or str(visit.here.id)
    target = next((each for each in _siblings(visit) if str(each.id) == wanted), visit.here)
    is_on = visit.form("on") == "1"
    with visit.core.writing() as connection:
        stored = this_flag(visit, connection)
        set_flag_state(connection, visit.workspace_id, stored.flag.id, target.id, is_on, visit.now)
    visit.core.changed(target.id)
    back = "/flags" if visit.form("from") == "list" else f"/flags/{stored.flag.key}"
    return visit.go(visit.url(back))


def put_away(visit: Visit) -> Response:
    with visit.core.writing() as connection:
        stored = this_flag(visit, connection)
        archive_flag(connection, visit.workspace_id, stored.flag.id, visit.now)
    visit.changed_everywhere()
    return visit.go(
        visit.url("/flags"), f"Flag {stored.flag.key} is archived: off everywhere, and it can be restored."
    )


def bring_back(visit: Visit) -> Response:
    with visit.core.writing() as connection:
        stored = this_flag(visit, connection)
        restore_flag(connection, visit.workspace_id, stored.flag.id, visit.now)
    visit.changed_everywhere()
    return visit.go(visit.url(f"/flags/{stored.flag.key}"), "The flag is back as it was.")


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/flags", flags_page),
    get("/env/{environment}/flags/new", new_flag_page, Verb.DEFINE),
    post("/env/{environment}/flags/new", save_new_flag),
    get("/env/{environment}/flags/{key}", flag_page),
    get("/env/{environment}/flags/{key}/variables", variables_page),
    post("/env/{environment}/flags/{key}/variables", save_variables),
    get("/env/{environment}/flags/{key}/metrics", metrics_page),
    post("/env/{environment}/flags/{key}/metrics", save_metrics),
    get("/env/{environment}/flags/{key}/sdk", sdk_page),
    post("/env/{environment}/flags/{key}/toggle", toggle_flag),
    post("/env/{environment}/flags/{key}/archive", put_away),
    post("/env/{environment}/flags/{key}/restore", bring_back),
)

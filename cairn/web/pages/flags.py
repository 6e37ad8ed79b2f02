"""Flags: the list, making one, and one flag with its rules, variables, metrics and SDK snippets."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from msgspec import Struct
from starlette.responses import Response

from cairn.app import flags
from cairn.app.editions import Edited, editions_of
from cairn.app.flag_warnings import warnings_of
from cairn.app.flags import FlagDetails
from cairn.app.playground import LONGEST_CONTEXT, Tried, try_flag
from cairn.app.rules import list_rules, order_edition
from cairn.app.sources import read_sdk_key
from cairn.conditions.describe import Line, Names, lines
from cairn.conditions.tree import InList
from cairn.conditions.walk import leaves, negated
from cairn.flags.checks import warnings_of_metrics
from cairn.flags.definition import FlagChanges, NewFlag, StoredFlag
from cairn.flags.model import Rule
from cairn.web import flag_form, snippets
from cairn.web.editor.editing import Addresses, Editor
from cairn.web.flag_form import Metrics, Shape
from cairn.web.pages.keys import HIDDEN
from cairn.web.portion import portion
from cairn.web.visit import Page, Visit, client_of, get, post
from cairn.workspace.environment import Environment
from cairn.workspace.permission import Verb

MOST_COLUMNS = 6  # environments with a switch in the list


class Shown(Struct, frozen=True):
    """A rule as its page tells it."""

    rule: Rule
    edition: int
    lines: list[Line]
    sizes: dict[int | str, int]  # segment id -> identified members here; list id -> members
    negates: bool


def flags_page(visit: Visit) -> Response:
    with_archived = visit.ask("archived") == "1"
    stored_flags = flags.name_flags(visit.call, visit.here, with_archived=with_archived)
    text = visit.ask("q").lower()
    fitting = [flag for flag in stored_flags if text in f"{flag.key} {flag.name}".lower()]
    page, siblings = portion(fitting, visit.ask("from")), _siblings(visit)
    columns = [sibling for sibling in siblings if sibling.id != visit.here.id][: MOST_COLUMNS - 1]
    return visit.page(
        "flags.html",
        page=page,
        shown=flags.list_flags_of(visit.call, visit.here, page.items),
        total=len(stored_flags),
        text=visit.ask("q"),
        with_archived=with_archived,
        environments=[sibling for sibling in siblings if sibling in columns or sibling.id == visit.here.id],
        more_environments=max(0, len(siblings) - MOST_COLUMNS),
        may_define=visit.may(Verb.DEFINE),
        editions=editions_of(visit.call, "flag switch", [flag.id for flag in page.items]),
    )


def _siblings(visit: Visit) -> list[Environment]:
    """The environments of the project: each has its own switch."""
    return [
        environment
        for _, environment in visit.environments
        if environment.project_id == visit.here.project_id
    ]


def this_flag(visit: Visit) -> StoredFlag:
    """The flag of the address. Raises FlagNotFound."""
    return flags.get_flag(visit.call, visit.part("key"), project_id=visit.here.project_id)


def flag_page(visit: Visit) -> Response:
    flag = flags.read_flag(visit.call, visit.here, visit.part("key"))
    names = Names(
        segments={segment.id: segment.key for segment in flag.segments},
        flags=flag.flags,
        lists={offered.id: offered.name for offered in flag.lists},
    )
    page = portion(flag.rules, visit.ask("from"))
    seen = editions_of(visit.call, "rule", [rule.id for rule in page.items])
    warnings = warnings_of(visit.call, visit.here, flag.stored.flag.key)
    shown = [
        Shown(
            rule,
            seen[rule.id],
            lines(rule.condition, names),
            _sizes(flag, rule) | flags.list_sizes(visit.call, rule),
            any(isinstance(leaf, InList) for leaf in negated(rule.condition)),
        )
        for rule in page.items
    ]
    return visit.page(
        "flag.html",
        **_frame(visit, flag.stored),
        tab="rules",
        rules=shown,
        page=page,
        tried=_tried(visit, flag.stored),
        order_edition=order_edition(visit.call, flag.stored.flag.id),
        warnings=warnings.of_definition,
        withheld=warnings.withheld,
        typed_user=visit.ask("as"),
        context=_asked_context(visit),
        edits=flags.history(visit.call, flag),
        asked_ms=flags.last_exposure(visit.call, visit.here, flag),
    )


def _frame(visit: Visit, stored: StoredFlag) -> dict[str, Any]:  # Any: what templates are given
    """What stands around every tab of a flag."""
    return {
        "stored": stored,
        "flag_edition": editions_of(visit.call, "flag", [stored.flag.id])[stored.flag.id],
        "on_since": flags.on_since(visit.call, visit.here, stored),
        "switch_edition": editions_of(visit.call, "flag switch", [stored.flag.id])[stored.flag.id],
        "asking": flags.users_of(visit.call, stored),
        "may_define": visit.may(Verb.DEFINE),
    }


def _sizes(flag: FlagDetails, rule: Rule) -> dict[int | str, int]:
    ids = {leaf.segment_id for leaf in leaves(rule.condition) if isinstance(leaf, InList)}
    return {segment_id: flag.sizes[segment_id] for segment_id in ids & flag.sizes.keys()}


def _asked_context(visit: Visit) -> str:
    """As typed: one that is too long is refused as such, instead of being cut into invalid JSON."""
    return visit.ask("context", longest=2 * LONGEST_CONTEXT)


def _tried(visit: Visit, stored: StoredFlag) -> Tried | None:
    somebody, context = visit.ask("as"), _asked_context(visit)
    if not somebody and not context:
        return None
    return try_flag(visit.call, visit.here, stored.flag.key, somebody=somebody, context=context)


def _find(visit: Visit) -> Edited[StoredFlag]:
    return flags.read_definition(visit.call, visit.part("key"), project_id=visit.here.project_id)


def _values(visit: Visit, stored: StoredFlag | None, _draft: Shape) -> Mapping[str, object]:
    values = {"choices": flag_form, "may_define": visit.may(Verb.DEFINE)}
    if stored is None:
        return values
    return {**values, **_frame(visit, stored), "tab": "variables"}


def _addresses(visit: Visit, stored: StoredFlag | None) -> Addresses:
    if stored is None:
        return Addresses(visit.url("/flags/new"), visit.url("/flags"))
    flag = visit.url(f"/flags/{stored.flag.key}")
    return Addresses(f"{flag}/variables", flag)


def _save(visit: Visit, stored: StoredFlag | None, shape: Shape, expected: int | None) -> Response:
    variables, variations = flag_form.definition(shape, stored.flag if stored else None)
    lifetime: Literal["permanent", "temporary"] = (
        "temporary" if shape.lifetime == "temporary" else "permanent"
    )
    if stored is None:
        new = NewFlag(
            key=shape.key,
            name=shape.name,
            description=shape.description,
            lifetime=lifetime,
            variables=variables,
            variations=variations,
        )
        made = flags.create_flag(visit.call, visit.here.project_id, new).value
        return visit.leave(
            visit.url(f"/flags/{made.flag.key}"), "The flag is made. Add a rule, then switch it on."
        )
    changes = FlagChanges(
        name=shape.name,
        description=shape.description,
        lifetime=lifetime,
        variables=variables,
        variations=variations,
    )
    flags.change_flag(visit.call, stored.flag.id, changes, expected=expected)
    return visit.leave(
        visit.url(f"/flags/{stored.flag.key}/variables"),
        "The flag is saved. Applications see it at their next poll.",
    )


VARIABLES = Editor(
    "flag",
    "flag_variables.html",
    flag_form.WORDING,
    Shape,
    find=_find,
    draft_of=lambda _, stored: flag_form.shape_of(stored.flag),
    addresses=_addresses,
    values=_values,
    save=_save,
    stored=lambda _, stored: flag_form.stored(stored.flag),
    read=lambda visit, _: flag_form.read_shape(visit.form),
    change=flag_form.change,
)
NEW_FLAG = replace(VARIABLES, template="flag_new.html")


def new_flag_page(visit: Visit) -> Response:
    return NEW_FLAG.show(visit, None, Shape())


def _metrics_addresses(visit: Visit, stored: StoredFlag | None) -> Addresses:
    flag = visit.url(f"/flags/{visit.part('key')}")
    return Addresses(f"{flag}/metrics", flag)


def _metrics_values(visit: Visit, stored: StoredFlag | None, _draft: Metrics) -> Mapping[str, object]:
    current = stored or this_flag(visit)
    return {
        **_frame(visit, current),
        "tab": "metrics",
        "choices": flag_form,
        "warnings": warnings_of_metrics(current.flag.metrics),
    }


def _save_metrics(visit: Visit, stored: StoredFlag | None, shape: Metrics, expected: int | None) -> Response:
    flag = (stored or this_flag(visit)).flag
    changes = FlagChanges(metrics=flag_form.metrics(shape, flag))
    flags.change_flag(visit.call, flag.id, changes, expected=expected)
    return visit.leave(visit.url(f"/flags/{flag.key}/metrics"), "The metrics are saved.")


METRICS = Editor(
    "flag",
    "flag_metrics.html",
    flag_form.WORDING,
    Metrics,
    find=_find,
    draft_of=lambda _, stored: flag_form.metrics_of(stored.flag),
    addresses=_metrics_addresses,
    values=_metrics_values,
    save=_save_metrics,
    stored=lambda _, stored: flag_form.stored(stored.flag),
)


def sdk_page(visit: Visit) -> Response:
    call, here, stored = visit.call, visit.here, this_flag(visit)
    sdk_key = read_sdk_key(call, here)
    rules = list_rules(call, stored.flag.id, here)
    condition_leaves = (leaf for rule in rules for leaf in leaves(rule.condition))
    identifier = next((leaf.attribute for leaf in condition_leaves if isinstance(leaf, InList)), "")
    variable = stored.flag.variables[0].key if stored.flag.variables else ""
    client = client_of(visit, sdk_key=sdk_key or HIDDEN)
    code = [
        make(client, stored.flag.key, variable, identifier)
        for make in (snippets.flags_node, snippets.flags_python)
    ]
    return visit.page(
        "flag_sdk.html",
        **_frame(visit, stored),
        tab="sdk",
        code=code,
        client=client,
        identifier=identifier,
        may_see=visit.may(Verb.SEE_KEYS),
    )


def toggle_flag(visit: Visit) -> Response:
    """In the environment of the form, which is this one on the flag's page and any on the list."""
    environment_id = visit.form("at") or str(visit.here.id)
    target = next((sibling for sibling in _siblings(visit) if str(sibling.id) == environment_id), visit.here)
    is_on = visit.form("on") == "1"
    stored = this_flag(visit)
    flags.switch_flag(visit.call, stored.flag.id, target, is_on=is_on, expected=visit.seen_edition)
    back = "/flags" if visit.form("from") == "list" else f"/flags/{stored.flag.key}"
    return visit.go(visit.url(back))


def put_away(visit: Visit) -> Response:
    stored = flags.archive_flag(visit.call, this_flag(visit).flag.id, expected=visit.seen_edition)
    return visit.go(
        visit.url("/flags"), f"Flag {stored.flag.key} is archived: off everywhere, and it can be restored."
    )


def bring_back(visit: Visit) -> Response:
    stored = flags.restore_flag(visit.call, this_flag(visit).flag.id).value
    return visit.go(visit.url(f"/flags/{stored.flag.key}"), "The flag is back as it was.")


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/flags", flags_page),
    get("/env/{environment}/flags/new", new_flag_page, Verb.DEFINE),
    post("/env/{environment}/flags/new", NEW_FLAG.post_new),
    get("/env/{environment}/flags/{key}", flag_page),
    get("/env/{environment}/flags/{key}/variables", VARIABLES.open),
    post("/env/{environment}/flags/{key}/variables", VARIABLES.post),
    get("/env/{environment}/flags/{key}/metrics", METRICS.open),
    post("/env/{environment}/flags/{key}/metrics", METRICS.post),
    get("/env/{environment}/flags/{key}/sdk", sdk_page),
    post("/env/{environment}/flags/{key}/toggle", toggle_flag),
    post("/env/{environment}/flags/{key}/archive", put_away),
    post("/env/{environment}/flags/{key}/restore", bring_back),
)

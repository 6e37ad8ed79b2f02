"""A connection's rules: switches, categories, filters, transformations and mappings, tried on recent events."""

import re
from typing import Any

from msgspec import Struct
from starlette.responses import Response

from cairn.app import connections, rule_preview
from cairn.app.connections import ConnectionChanges, ConnectionView
from cairn.app.rule_preview import Previewed
from cairn.errors import CairnError, InvalidInput
from cairn.routing.decide import TracedStep
from cairn.routing.rules import Rules, read_rules
from cairn.web.connection_rules_form import ACTIONS, RulesForm, form_of, read_rules_form, typed_form
from cairn.web.exchange import json_text
from cairn.web.pages.connections import connection_page, view_of
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.permission import Verb

_OF_FILTER = re.compile(r"filters\[(\d+)\](?:\.(\w+))?(.*)", re.DOTALL)
EXAMPLE = '{"type": "track", "event": "Order Completed", "userId": "ada", "properties": {"total": 129.5}}'


class ShownPreview(Struct, frozen=True):
    title: str
    outcome: str
    is_sent: bool
    detail: str
    steps: list[tuple[str, str]]  # name of the step, and what it did
    body: str  # as the destination gets it
    warnings: list[str]  # about the event itself


class FieldError(Struct, frozen=True):
    """An error at the field of the form that it is about."""

    field: str
    text: str

    def __str__(self) -> str:
        return self.text


def rules_page(visit: Visit) -> Response:
    view = view_of(visit)
    return _page(visit, view, form_of(view.connection.rules), view.connection.rules)


def save(visit: Visit) -> Response:
    """Saves, or shows what the rules as typed would do."""
    view = view_of(visit)
    if view.destination is None:
        raise InvalidInput("this Cairn has no such destination any more; the connection can only be deleted")
    form, rows = typed_form(visit.form), list[int]()
    try:
        rules, rows = read_rules_form(visit.form)
        rules = connections.checked_rules(rules, view.destination)
        if visit.form("do") == "try":
            return _page(visit, view, form, rules)
        connections.change_connection(
            visit.call,
            visit.here,
            view.connection.id,
            ConnectionChanges(rules=rules),
            expected=visit.seen_edition,
        )
    except InvalidInput as error:
        status = 200 if visit.form("do") == "try" else error.status
        return _page(visit, view, form, None, error=_at_field(error, rows), status=status)
    return visit.go(visit.url(f"/connections/{view.connection.id}/rules"), "The rules are saved.")


def _at_field(error: CairnError, rows: list[int]) -> FieldError:
    """Filters are numbered as they are sent; the form may have empty rows between them."""
    match = _OF_FILTER.fullmatch(error.field)
    if match is None:
        return FieldError(error.field.partition("[")[0], str(error))
    at = int(match[1])
    row = rows[at] if at < len(rows) else at
    message = str(error).removeprefix(f"{error.field}: ")
    name = match[2] or ("properties" if message.startswith("properties") else "condition")
    return FieldError(f"f{row}.{name}", f"{message[:1].upper()}{message[1:]}.")


def _page(
    visit: Visit,
    view: ConnectionView,
    form: RulesForm,
    rules: dict[str, Any] | None,
    *,
    error: FieldError | None = None,
    status: int = 200,
) -> Response:
    return connection_page(
        visit,
        view,
        "connection_rules.html",
        "rules",
        status=status,
        error=error,
        form=form,
        actions=ACTIONS,
        typed_event=visit.form("event"),
        example=EXAMPLE,
        **_preview(visit, view, rules),
    )


def _preview(visit: Visit, view: ConnectionView, rules: dict[str, Any] | None) -> dict[str, Any]:
    """`rules`: None where they cannot be read."""
    if rules is None or view.destination is None:
        return {"previewed": None, "event_error": None}
    read: Rules = read_rules(rules)
    messages, event_error = [], None
    if text := visit.form("event").strip():
        try:
            messages.append(rule_preview.typed_message(visit.call, text))
        except InvalidInput as error:
            event_error = error
    messages += rule_preview.recent_messages(visit.call, visit.here, view.connection.id)
    shown = [_shown(entry) for entry in rule_preview.preview(read, view.destination, messages)]
    return {"previewed": shown, "event_error": event_error}


def _shown(entry: Previewed) -> ShownPreview:
    message, discarded, sent = entry.message, entry.discarded, entry.sent
    steps = [(step.name, _did(step)) for step in entry.steps if step.is_changed and sent is not None]
    body = sent.body if sent else message.body
    return ShownPreview(
        message.event or message.kind,
        discarded.reason.value.replace("_", " ") if discarded else "sent",
        discarded is None,
        discarded.detail if discarded else "",
        steps,
        json_text(body),
        entry.warnings,
    )


def _did(step: TracedStep) -> str:
    return f"changed it: {' '.join(step.details).rstrip('.')}" if step.details else "changed it"


_RULES = "/env/{environment}/connections/{connection_id}/rules"
PAGES: tuple[Page, ...] = (
    get(_RULES, rules_page),
    post(_RULES, save, Verb.CHANGE_SOURCES),
)

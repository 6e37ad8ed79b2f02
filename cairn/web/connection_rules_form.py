"""The form of a connection's rules: switches and categories by line, a row for each filter, the rest as JSON. Pure."""

from typing import Any

import msgspec
from msgspec import Struct

from cairn.routing.filters import MOST_FILTERS
from cairn.routing.rules import RulesRefused
from cairn.web.form import Form

ACTIONS = (
    ("drop", "Do not send it"),
    ("sample", "Send a share of it"),
    ("drop_properties", "Leave these properties out"),
    ("allow_properties", "Keep only these properties"),
)

_Json = dict[str, Any]  # Any: JSON


class FilterRow(Struct, frozen=True):
    number: int
    name: str = ""
    condition: str = ""
    action: str = "drop"
    percent: str = "100"
    path: str = ""
    properties: str = ""  # one a line
    is_enabled: bool = True


class RulesForm(Struct, frozen=True):
    events_off: str
    consent: str
    filters: list[FilterRow]  # and an empty one, where there is room
    transformations: str
    mappings: str


def form_of(rules: _Json) -> RulesForm:
    """Of rules as they are stored."""
    events = rules.get("events", {})
    rows = [_row(number, stored) for number, stored in enumerate(rules.get("filters", []))]
    return RulesForm(
        "\n".join(name for name, is_on in events.items() if not is_on),
        "\n".join(rules.get("consent", [])),
        _with_empty(rows),
        _json_text(rules.get("transformations")),
        _json_text(rules.get("mappings")),
    )


def typed_form(form: Form) -> RulesForm:
    """What was sent, as it was typed."""
    rows = [_typed_row(form, number) for number in range(MOST_FILTERS) if f"f{number}.condition" in form]
    return RulesForm(form("events_off"), form("consent"), rows, form("transformations"), form("mappings"))


def read_rules_form(form: Form) -> tuple[_Json, list[int]]:
    """Rules as the API takes them, and which row of the form each filter stands in. Raises RulesRefused."""
    typed = typed_form(form)
    rows = [row for row in typed.filters if row.condition.strip() or row.name.strip()]
    rules: _Json = {
        "events": dict.fromkeys(_lines(typed.events_off), False),
        "consent": _lines(typed.consent),
        "filters": [_filter(row) for row in rows],
        "transformations": _json_list(typed.transformations, "transformations"),
        "mappings": _json_list(typed.mappings, "mappings"),
    }
    return {name: value for name, value in rules.items() if value}, [row.number for row in rows]


def _row(number: int, stored: _Json) -> FilterRow:
    percent = stored.get("percent", 100)
    return FilterRow(
        number,
        stored.get("name", ""),
        stored.get("condition", ""),
        stored.get("action", "drop"),
        f"{percent:g}",
        stored.get("path", ""),
        "\n".join(stored.get("properties", [])),
        stored.get("is_enabled", True),
    )


def _with_empty(rows: list[FilterRow]) -> list[FilterRow]:
    return rows if len(rows) >= MOST_FILTERS else [*rows, FilterRow(len(rows))]


def _typed_row(form: Form, number: int) -> FilterRow:
    def typed(name: str) -> str:
        return form(f"f{number}.{name}")

    return FilterRow(
        number,
        typed("name"),
        typed("condition"),
        typed("action") or "drop",
        typed("percent"),
        typed("path"),
        typed("properties"),
        typed("is_enabled") == "1",
    )


def _filter(row: FilterRow) -> _Json:
    stored: _Json = {"condition": row.condition, "action": row.action, "name": row.name.strip()}
    if row.action == "sample":
        try:
            stored["percent"] = float(row.percent)
        except ValueError:
            stored["percent"] = row.percent  # refused by its field
        stored["path"] = row.path.strip()
    elif row.action != "drop":
        stored["properties"] = _lines(row.properties)
    return stored if row.is_enabled else {**stored, "is_enabled": False}


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _json_list(text: str, field: str) -> list[Any]:
    if not text.strip():
        return []
    try:
        return msgspec.json.decode(text, type=list[Any])
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeEncodeError) as error:
        raise RulesRefused(f"{field}: expected a JSON list: {error}", field=field) from error


def _json_text(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() if value else ""

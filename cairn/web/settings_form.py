"""The form of a connection, generated from the settings of its destination. Pure.

Fields are named as errors name them: `settings.url`; secrets `secret.key`, so that no form with one is kept.
"""

from typing import Any

from msgspec import UNSET, Struct

from cairn.app.connections import ConnectionChanges
from cairn.errors import InvalidInput
from cairn.routing.destination import Destination, Setting
from cairn.web.form import Form
from cairn.web.kept_form import SECRET


class ShownSetting(Struct, frozen=True):
    setting: Setting
    name: str  # of its field
    error_field: str  # what an error names it by
    value: Any  # Any: text, a boolean of a switch; of a secret nothing
    is_set: bool = False  # a secret that is kept


def shown_settings(
    destination: Destination,
    values: dict[str, Any],
    secrets: frozenset[str] = frozenset(),
    typed: Form | None = None,
) -> list[ShownSetting]:
    """`typed`: what was sent and could not be taken stands in the fields instead."""
    return [_shown(setting, values, secrets, typed) for setting in destination.settings]


def _shown(
    setting: Setting, values: dict[str, Any], secrets: frozenset[str], typed: Form | None
) -> ShownSetting:
    error_field = f"settings.{setting.key}"
    if setting.kind == "secret":
        return ShownSetting(setting, f"{SECRET}{setting.key}", error_field, "", setting.key in secrets)
    if setting.kind == "switch":
        value: Any = typed(error_field) == "1" if typed else bool(values.get(setting.key, setting.default))
    elif typed:
        value = typed(error_field)
    else:
        value = _text(values.get(setting.key, setting.default))
    return ShownSetting(setting, error_field, error_field, value)


def read_changes(form: Form, destination: Destination) -> ConnectionChanges:
    """Raises InvalidInput naming the field."""
    settings: dict[str, Any] = {}
    secrets: dict[str, str] = {}
    for setting in destination.settings:
        if setting.kind != "secret":
            typed = form(f"settings.{setting.key}")
            settings[setting.key] = typed == "1" if setting.kind == "switch" else typed
        elif form(f"remove.{setting.key}") == "1":
            secrets[setting.key] = ""
        elif secret := form.line(f"{SECRET}{setting.key}"):
            secrets[setting.key] = secret
    hours = form.line("retry_hours")
    return ConnectionChanges(
        name=form.line("name"),
        settings=settings,
        secrets=secrets,
        retry_hours=_hours(hours) if hours else UNSET,
    )


def _hours(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 4):
        raise InvalidInput("retry_hours: expected a whole number of hours, 1 to 72", field="retry_hours")
    return int(text)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return "\n".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

"""Settings of a connection against what its destination asks for. Pure."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from cairn.errors import InvalidInput
from cairn.http_client import CallRefused, read_url
from cairn.routing.destination import Configuration, Destination, Setting

LONGEST = 4_000  # characters of a text or secret
MOST_LINES = 100

_Json = dict[str, Any]  # Any: by each setting's kind


def defaults(destination: Destination) -> _Json:
    return {setting.key: setting.default for setting in destination.settings if setting.kind != "secret"}


def checked_settings(
    destination: Destination, settings: Mapping[str, Any], secrets: Mapping[str, str]
) -> _Json:
    """Every setting in its form. Raises InvalidInput naming the first that is wrong."""
    known = {setting.key: setting for setting in destination.settings}
    for key in settings:
        if key not in known or known[key].kind == "secret":
            raise _refused(key, f"{destination.name} has no such setting")
    checked = {}
    for setting in destination.settings:
        if setting.kind == "secret":
            value: Any = secrets.get(setting.key, "")
        else:
            value = checked[setting.key] = _CHECKS[setting.kind](setting, settings.get(setting.key))
        if setting.is_required and value in ("", None, []):
            raise _refused(setting.key, f"{setting.label} is missing")
    wrong = destination.check(Configuration(checked, dict(secrets))) if destination.check else {}
    for key, what in wrong.items():
        raise _refused(key, what)
    return checked


def checked_secrets(destination: Destination, secrets: Mapping[str, str]) -> dict[str, str]:
    """Raises InvalidInput. No message holds a secret."""
    known = {setting.key for setting in destination.settings if setting.kind == "secret"}
    for key, secret in secrets.items():
        if key not in known:
            raise _refused(key, f"{destination.name} has no such secret")
        if not isinstance(secret, str) or len(secret) > LONGEST or not secret.isprintable():
            raise _refused(key, f"expected up to {LONGEST} characters on one line")
    return dict(secrets)


def _text(setting: Setting, value: Any) -> str:  # Any: from a form or a program
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > LONGEST or "\0" in value:
        raise _refused(setting.key, f"expected a text of up to {LONGEST} characters")
    return value.strip()


def _url(setting: Setting, value: Any) -> str:
    text = _text(setting, value)
    if not text:
        return ""
    try:
        url = read_url(text)
    except CallRefused as error:
        raise _refused(setting.key, "expected an address like https://example.com/path") from error
    if url.scheme not in ("http", "https") or not url.host or url.names_user:
        raise _refused(setting.key, "expected an http or https address with a host and without a password")
    return text


def _number(setting: Setting, value: Any) -> int | float | None:
    if value in ("", None):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise _refused(setting.key, "expected a number")
    return int(number) if number.is_integer() else number


def _switch(setting: Setting, value: Any) -> bool:
    if value in (None, ""):
        return False
    if not isinstance(value, bool):
        raise _refused(setting.key, "expected true or false")
    return value


def _choice(setting: Setting, value: Any) -> str:
    text = _text(setting, value)
    values = [choice for choice, _ in setting.choices]
    if text and text not in values:
        raise _refused(setting.key, f"expected one of {', '.join(values)}")
    return text


def _lines(setting: Setting, value: Any) -> list[str]:
    lines = value.splitlines() if isinstance(value, str) else value or []
    if not isinstance(lines, list | tuple) or len(lines) > MOST_LINES:
        raise _refused(setting.key, f"expected up to {MOST_LINES} lines")
    return [line for line in (_text(setting, line) for line in lines) if line]


_CHECKS: dict[str, Callable[[Setting, Any], Any]] = {  # Any: by the setting's kind
    "text": _text,
    "url": _url,
    "number": _number,
    "switch": _switch,
    "choice": _choice,
    "lines": _lines,
}


def _refused(key: str, what: str) -> InvalidInput:
    return InvalidInput(f"settings.{key}: {what}", field=f"settings.{key}")

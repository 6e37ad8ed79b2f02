"""The context that an application passes to its flag SDK, read as the SDKs read it. Pure.

Source: contracts/wingify.md sections 3.2 and 10. Node's spelling and Python's are both read; keys beyond are ignored.
"""

from collections.abc import Callable, Mapping
from typing import Any

from cairn.errors import InvalidInput
from cairn.flags.evaluate import Context

Details = Callable[
    [str, str], Mapping[str, Mapping[str, str]]
]  # (user agent, address) -> location, userAgent


class ContextInvalid(InvalidInput):
    """A context is not a JSON object as flag SDKs take it, with an `id` and `customVariables`."""

    code = "context_invalid"


def read_context(document: Any, *, details: Details) -> Context:  # Any: a JSON document
    """`details` answers for the gateway, which SDKs ask when the context brings no `_vwo` of its own.

    Raises ContextInvalid where the SDKs refuse the context or would fail on it.
    """
    if not isinstance(document, dict):
        raise ContextInvalid(
            'The context is an object like {"id": …, "customVariables": {…}}.', field="context"
        )
    user_agent, address = (
        _text(document, "userAgent", "user_agent"),
        _text(document, "ipAddress", "ip_address"),
    )
    client_details = _object(document, "_vwo", "_wingify") or details(user_agent, address)
    return Context(
        _id(document),
        _object(document, "customVariables", "custom_variables"),
        _object(document, "variationTargetingVariables", "variation_targeting_variables"),
        location=_texts(client_details.get("location")),
        device=_texts(client_details.get("userAgent")),
        user_agent=user_agent,
        ip_address=address,
        bucketing_seed=_seed(document.get("bucketingSeed")),
    )


def _id(document: dict[str, Any]) -> str:
    value = document.get("id")
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        raise ContextInvalid('The context needs an "id": SDKs decide nothing without one.', field="context")
    return str(value)


def _first(document: dict[str, Any], names: tuple[str, ...]) -> tuple[str, Any]:
    return next(
        ((name, document[name]) for name in names if document.get(name) is not None), (names[0], None)
    )


def _object(document: dict[str, Any], *names: str) -> dict[str, Any]:
    name, value = _first(document, names)
    if value is not None and not isinstance(value, dict):
        raise ContextInvalid(f"{name} is an object in a context, of names and values.", field="context")
    return value or {}


def _text(document: dict[str, Any], *names: str) -> str:
    name, value = _first(document, names)
    if value is not None and not isinstance(value, str):
        raise ContextInvalid(f"{name} is a text in a context.", field="context")
    return value or ""


def _texts(value: Any) -> dict[str, str]:
    return (
        {name: str(text) for name, text in value.items() if text is not None}
        if isinstance(value, dict)
        else {}
    )


def _seed(value: Any) -> str:
    """The SDKs ignore a seed that is not text, or blank."""
    return value if isinstance(value, str) and value.strip() else ""

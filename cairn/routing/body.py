"""What destinations read of a message's body, which is foreign JSON: nothing in it need be of the right type. Pure."""

from typing import Any

from cairn.routing.message import Message

JsonObject = dict[str, Any]  # Any: JSON


def object_at(body: JsonObject, name: str) -> JsonObject:
    """A member that is an object; empty where it is anything else."""
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def text_at(body: JsonObject, name: str) -> str:
    """A member that is text; empty where it is anything else."""
    value = body.get(name)
    return value if isinstance(value, str) else ""


def context_of(message: Message) -> JsonObject:
    return object_at(message.body, "context")

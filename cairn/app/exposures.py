"""Exposures told by the names of flag and variation instead of their numbers at the wire."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

import msgspec

from cairn.app.call import Call
from cairn.event import Kind
from cairn.flags.exposures import read_names


class EventWithProperties(Protocol):
    @property
    def kind(self) -> str: ...
    @property
    def properties(self) -> dict[str, str]: ...


Event = TypeVar("Event", bound=EventWithProperties)


def with_names(call: Call, environment_id: int, events: Sequence[Event]) -> list[Event]:
    """The same events; exposures among them say flag and variation. Free where there are none."""
    if not any(_is_exposure(event) for event in events):
        return list(events)
    with call.reading() as connection:
        names = read_names(connection, environment_id)
    return [
        msgspec.structs.replace(event, properties={**event.properties, **names.of(event.properties)})  # type: ignore[type-var]
        if _is_exposure(event)
        else event
        for event in events
    ]


def _is_exposure(event: EventWithProperties) -> bool:
    return event.kind == Kind.EXPOSURE and "campaign" in event.properties

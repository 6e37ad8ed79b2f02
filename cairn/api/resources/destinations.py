"""The catalogue of destinations: what a source can be connected to, and what each asks for."""

from typing import Any

from msgspec import Struct

from cairn.api.endpoint import Endpoint, Key
from cairn.app import connections
from cairn.app.call import Call
from cairn.routing.destination import Destination, SettingKind
from cairn.routing.trying import can_be_tried
from cairn.workspace.permission import Verb


class ChoiceAnswer(Struct, frozen=True):
    value: str
    label: str


class SettingAnswer(Struct, frozen=True):
    key: str
    label: str
    help: str
    kind: SettingKind  # a secret is written under `secrets`, all others under `settings`
    is_required: bool
    default: Any
    choices: list[ChoiceAnswer]


class DestinationAnswer(Struct, frozen=True):
    slug: str
    name: str
    summary: str
    integration: str  # its name in `integrations` objects
    kinds: list[str]  # of calls that it takes
    can_be_tried: bool
    settings: list[SettingAnswer]


class DestinationList(Struct, frozen=True):
    destinations: list[DestinationAnswer]


def read_destinations(call: Call) -> DestinationList:
    """List what sources can be connected to, beside the built-in analytics."""
    return DestinationList([_answer(destination) for destination in connections.list_destinations()])


def read_destination(call: Call, slug: Key) -> DestinationAnswer:
    """Read a destination, with its settings."""
    return _answer(connections.get_destination(slug))


def _answer(destination: Destination) -> DestinationAnswer:
    return DestinationAnswer(
        destination.slug,
        destination.name,
        destination.summary,
        destination.integration or destination.name,
        sorted(destination.kinds),
        can_be_tried(destination),
        [
            SettingAnswer(
                setting.key,
                setting.label,
                setting.help,
                setting.kind,
                setting.is_required,
                None if setting.kind == "secret" else setting.default,
                [ChoiceAnswer(value, label) for value, label in setting.choices],
            )
            for setting in destination.settings
        ],
    )


ENDPOINTS = (
    Endpoint("GET", "/destinations", Verb.SEE, read_destinations),
    Endpoint("GET", "/destinations/{slug}", Verb.SEE, read_destination),
)

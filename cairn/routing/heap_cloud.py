"""What the two Heap destinations of Segment's Actions share: hosts by region, fields, names of events. Pure.

Source: contracts/segment.md 5.5 and 5.6.
"""

from typing import Any

from cairn.routing.body import JsonObject
from cairn.routing.destination import Configuration, Preset, Setting
from cairn.routing.directives import resolve
from cairn.routing.flat import as_text
from cairn.routing.message import Message
from cairn.routing.payload import rejected

LIBRARY = "server"
MARKER = {"segment_library": "cloud-mode-destination"}
_HOSTS = {"US": "https://heapanalytics.com", "EU": "https://c.eu.heap-api.com"}
_EVENT_NAMES = {"page": "Page viewed", "screen": "Screen viewed"}
_LONGEST_APP_ID = 64  # characters

SETTINGS = (
    Setting(
        "app_id",
        "App id",
        "The id of the environment in Heap: Account, Manage, Projects. For another Cairn, its environment's app id.",
        is_required=True,
    ),
    Setting(
        "region",
        "Data residency region",
        "Where the Heap environment keeps its data.",
        kind="choice",
        default="US",
        choices=(("US", "United States"), ("EU", "European Union")),
    ),
    Setting(
        "host",
        "Other host",
        "Leave empty for Heap. The address of another Cairn sends there, whatever the region.",
        kind="url",
    ),
)


def host_of(configuration: Configuration) -> str:
    host = configuration.settings.get("host") or _HOSTS[configuration.settings.get("region") or "US"]
    return str(host).rstrip("/")


def check_app_id(configuration: Configuration) -> dict[str, str]:
    app_id = configuration.settings["app_id"]
    if len(app_id) <= _LONGEST_APP_ID and app_id.isalnum():
        return {}
    return {"app_id": "expected digits (or letters), as Heap shows the environment's id"}


class Fields:
    """A message's fields, as the mapping of its kind fills them."""

    def __init__(self, message: Message, presets: tuple[Preset, ...]) -> None:
        preset = next(preset for preset in presets if message.kind in preset.kinds)
        self._values: JsonObject = resolve({**preset.mapping, **message.mapping}, message.body)

    def text(self, name: str) -> str:
        """Numbers and booleans are made text. Raises NotForDestination for objects and arrays."""
        value = self._values.get(name)
        if value is None:
            return ""
        if isinstance(value, dict | list):
            raise rejected(f"{name}: must be text; map another field to it")
        return as_text(value)

    def object(self, name: str) -> JsonObject:
        value = self._values.get(name)
        return value if isinstance(value, dict) else {}

    def value(self, name: str) -> Any:  # Any: JSON
        return self._values.get(name)


def event_name(fields: Fields) -> str:
    return _EVENT_NAMES.get(fields.text("type")) or fields.text("event") or "track"

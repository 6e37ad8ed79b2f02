"""Heap in the visitor's browser: what analytics.js is told to load for a source, and with which settings.

The built-in Heap takes a web source's calls in the browser, where its library also captures what visitors do; a source
of another kind has no page to load it. Source: contracts/segment.md 3.3, 3.6, 5.1, 5.2 and 5.4. Pure.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from cairn.published.source_settings import SEGMENT, SourceSettings, without_destinations
from cairn.routing.destination import Setting
from cairn.routing.filters import routing_rules
from cairn.routing.fql.browser import NotForBrowser
from cairn.routing.rules import Rules

CLASSIC = "Heap"
ACTIONS = "Heap Web (Actions)"
# By which the browser says that it delivered an event itself: `_metadata.bundled`.
BROWSER_NAMES = (CLASSIC, ACTIONS)

# How settings name a connection; browsers repeat it in `_metadata.bundledIds`.
ID_PREFIX = "connection/"

_ACTIONS_PATH = "/next-integrations/actions/heap-web/latest.js"
_SUBSCRIPTIONS: list[dict[str, Any]] = [  # Any: foreign JSON; the vendor's presets
    {
        "partnerAction": "trackEvent",
        "name": "Track Event",
        "enabled": True,
        "subscribe": 'type = "track"',
        "mapping": {
            "name": {"@path": "$.event"},
            "properties": {"@path": "$.properties"},
            "anonymousId": {"@path": "$.anonymousId"},
            "traits": {"@path": "$.context.traits"},
        },
    },
    {
        "partnerAction": "identifyUser",
        "name": "Identify User",
        "enabled": True,
        "subscribe": 'type = "identify"',
        "mapping": {"userId": {"@path": "$.userId"}, "traits": {"@path": "$.traits"}},
    },
]

DEVICE_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "mode",
        "Where events are sent from",
        "In the browser, Heap's library is loaded with analytics.js and captures clicks and page views by itself. From "
        "the server, only the events that the site names arrive. Never both. Install Heap's snippet by hand instead, "
        "and choose the server here, where a tag manager loads analytics.js, because the library then comes late.",
        kind="choice",
        default="device",
        choices=(("device", "The visitor's browser"), ("cloud", "This server")),
    ),
    Setting(
        "variant",
        "How calls become Heap's",
        "Classic sends e-mail addresses as _email and keeps numbers; Heap Web (Actions) makes numbers text.",
        kind="choice",
        default="classic",
        choices=(("classic", CLASSIC), ("actions", ACTIONS)),
    ),
    Setting(
        "disableTextCapture",
        "Capture no text",
        "No text of the page's elements is captured anywhere. Where single elements are to be left out, install Heap's "
        "snippet by hand instead.",
        kind="switch",
        default=False,
    ),
    Setting(
        "disableTargetText",
        "Capture no text of what is clicked",
        "An older name of the same: the text of elements that visitors click, change or submit is left out.",
        kind="switch",
        default=False,
    ),
    Setting(
        "secureCookie",
        "Cookies over HTTPS only",
        "For sites that are served over HTTPS alone.",
        kind="switch",
        default=False,
    ),
    Setting(
        "browserArrayLimit",
        "Events from arrays",
        "Heap Web (Actions) only: so many elements of an event's arrays become events of their own. 0: none.",
        kind="number",
        default=0,
    ),
)


class BuiltIn(Struct, frozen=True):
    """A source's connection to the analytics of an environment."""

    connection_id: int
    app_id: str  # the environment's
    settings: dict[str, Any]  # Any: by DEVICE_SETTINGS; what is missing has its default
    rules: Rules = Rules()


def source_settings(kind: str, connections: Sequence[BuiltIn]) -> SourceSettings:
    """What the browser of a source's page is told. `connections`: those that are switched on."""
    settings = without_destinations()
    device = _in_browser(kind, connections)
    if device is None:
        if connections:
            settings["integrations"][SEGMENT]["unbundledIntegrations"] = [CLASSIC]
        return settings
    name = ACTIONS if device.settings.get("variant") == "actions" else CLASSIC
    settings["integrations"][SEGMENT]["maybeBundledConfigIds"] = {
        name: [f"{ID_PREFIX}{device.connection_id}"]
    }
    if name == CLASSIC:
        settings["integrations"][CLASSIC] = _classic(device)
    else:
        # Named here too, so that `_metadata.bundled` names it; it is no classic bundle.
        settings["integrations"][ACTIONS] = {
            "bundlingStatus": "bundled",
            "versionSettings": {"componentTypes": []},
        }
        settings["remotePlugins"] = [_plugin(device)]
    _add_rules(settings, name, device.rules)
    return settings


def _add_rules(settings: SourceSettings, name: str, rules: Rules) -> None:
    """So that the browser decides as this server would."""
    for event, is_on in rules.events.items():
        settings["plan"]["track"][event] = {"enabled": True, "integrations": {} if is_on else {name: False}}
    settings["middlewareSettings"]["routingRules"] = routing_rules(name, rules.filters)
    if rules.consent:
        categories = list(rules.consent)
        settings["integrations"][name]["consentSettings"] = {"categories": categories}
        settings["consentSettings"] = {"allCategories": categories, "hasUnmappedDestinations": False}


def _in_browser(kind: str, connections: Sequence[BuiltIn]) -> BuiltIn | None:
    """One page runs one library, and whatever it sent is sent nowhere else. So a source that feeds several environments
    feeds them all from the server."""
    if kind != "web" or len(connections) != 1:
        return None
    [only] = connections
    is_wanted = only.settings.get("mode", "device") == "device"
    return only if is_wanted and not cloud_reason(only.rules) else None


def cloud_reason(rules: Rules) -> str:
    """Why the browser's client cannot apply these rules, so that this server takes the events; empty: it can."""
    try:
        routing_rules(CLASSIC, rules.filters)
    except NotForBrowser as refused:
        return str(refused)
    if any(step.is_enabled for step in rules.transformations):
        return "transformations: the browser's client has none"
    if any(mapping.is_enabled for mapping in rules.mappings):
        return "mappings: those of the browser's client are its own"
    return ""


def _chosen(device: BuiltIn, *keys: str) -> dict[str, Any]:  # Any: by DEVICE_SETTINGS
    """Only what differs from its default, as the vendor's settings have it."""
    return {key: device.settings[key] for key in keys if device.settings.get(key)}


def _classic(device: BuiltIn) -> dict[str, Any]:  # Any: foreign JSON
    return {
        "appId": device.app_id,
        **_chosen(device, "disableTextCapture", "disableTargetText"),
        "bundlingStatus": "bundled",
        "type": "browser",
        "versionSettings": {"version": "2.1.1", "componentTypes": ["browser"]},
    }


def _plugin(device: BuiltIn) -> dict[str, Any]:  # Any: foreign JSON
    chosen = _chosen(device, "disableTextCapture", "secureCookie", "browserArrayLimit")
    if device.settings.get("disableTargetText"):
        chosen["disableTextCapture"] = True  # this destination has one switch for both
    return {
        "name": ACTIONS,
        "creationName": ACTIONS,
        "libraryName": "heap-webDestination",
        "url": _ACTIONS_PATH,  # the edge puts its own address in front
        "settings": {"appId": device.app_id, **chosen, "subscriptions": _SUBSCRIPTIONS},
    }

"""What analytics.js fetches about a source before anything else: `source/<source>`, JSON (contracts/segment.md 3.3).

The core says what is connected and by which rules. The edge adds what only a request tells: the write key that it named
and the address that it came to, so the document holds no key.
"""

from typing import Any

import msgspec

SEGMENT = "Segment.io"  # the name of the tracking API itself among `integrations`
SourceSettings = dict[str, Any]  # Any: foreign JSON

_whole = msgspec.json.Decoder(SourceSettings)


def document_name(source_id: int) -> str:
    return f"source/{source_id}"


def without_destinations() -> SourceSettings:
    """Events come to us and go nowhere from the browser: for a source that is off, or of which nothing is known."""
    return {
        "integrations": {
            SEGMENT: {
                "addBundledMetadata": True,
                "unbundledIntegrations": [],
                "maybeBundledConfigIds": {},
                "retryQueue": True,
                "versionSettings": {"version": "4.4.7", "componentTypes": ["browser"]},
            }
        },
        "plan": {
            "track": {"__default": {"enabled": True, "integrations": {}}},
            "identify": {"__default": {"enabled": True}},
            "group": {"__default": {"enabled": True}},
        },
        "middlewareSettings": {"routingRules": []},
        "enabledMiddleware": {},
        "metrics": {"sampleRate": 0},
        "legacyVideoPluginsEnabled": False,
        "remotePlugins": [],
    }


def encode(settings: SourceSettings) -> bytes:
    """The same settings give the same bytes."""
    return msgspec.json.encode(settings)


def decode(document: bytes) -> SourceSettings:
    """Raises ValueError for what is no JSON object."""
    return _whole.decode(document)

"""What the gateway tells people about itself and the SDKs it hears from. Kept in memory; a restart starts over."""

from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct, field

from cairn.redact import redacted

MOST_SDKS = 1_000  # distinct (environment, name, version) remembered; names come from outside
MOST_PROBLEMS = 20  # reports kept per SDK, newest last
LONGEST_TEXT = 300  # characters kept of anything an SDK says about itself


class Problem(Struct, frozen=True):
    """What an SDK reported about itself (`vwo_sdkDebug`)."""

    at_ms: int
    kind: str
    message: str


class SeenSdk(Struct):
    environment_id: int
    name: str
    version: str
    first_seen_ms: int
    last_seen_ms: int = 0
    starts: int = 0  # vwo_fmeSdkInit events: processes that initialised this SDK
    settings_fetched: int = 0
    problems: list[Problem] = field(default_factory=list)


class Health:
    """Counters since the start. Used from the event loop only."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(
            (
                "settings",
                "unknown_keys",
                "public_keys",
                "details",
                "list_checks",
                "list_hits",
                "unknown_lists",
                "events",
                "batches",
                "refused_requests",
                "aliases_set",
                "aliases_asked",
                "slow_answers",
                "timeouts",
                "failures",
            ),
            0,
        )
        self._sdks: dict[tuple[int, str, str], SeenSdk] = {}

    def count(self, name: str) -> None:
        self.counts[name] += 1

    def saw(self, environment_id: int, name: str, version: str, now_ms: int) -> SeenSdk | None:
        """Note that an SDK called; None for a caller that does not say what it is."""
        if not name:
            return None
        key = (environment_id, name[:LONGEST_TEXT], version[:LONGEST_TEXT])
        sdk = self._sdks.get(key)
        if sdk is None:
            if len(self._sdks) >= MOST_SDKS:
                oldest = min(self._sdks, key=lambda key: self._sdks[key].last_seen_ms)
                del self._sdks[oldest]
            sdk = self._sdks[key] = SeenSdk(*key, first_seen_ms=now_ms)
        sdk.last_seen_ms = now_ms
        return sdk

    def report(self, settings_refused: int) -> dict[str, Any]:  # Any: one JSON document
        sdks = sorted(self._sdks.values(), key=lambda sdk: (sdk.environment_id, sdk.name, sdk.version))
        return {
            "counts": {**self.counts, "settings_files_refused": settings_refused},
            "sdks": msgspec.to_builtins(sdks),
        }


def problem_in(body: bytes, now_ms: int) -> Problem:
    """Read a `vwo_sdkDebug` event; whatever cannot be read is left empty."""
    meta: Any = None  # Any: foreign JSON
    with suppress(msgspec.DecodeError, RecursionError, KeyError, TypeError, IndexError):
        meta = msgspec.json.decode(body)["d"]["event"]["props"]["vwoMeta"]
    if not isinstance(meta, dict):
        meta = {}
    return Problem(now_ms, _short(meta.get("msg_t")), _short(meta.get("msg")))


def _short(value: object) -> str:
    return redacted(str(value)[:LONGEST_TEXT]) if isinstance(value, str | int | float) else ""

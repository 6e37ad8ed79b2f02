"""What a user agent says of its device. Pure.

The patterns are the uap-core project's, as everybody's; a browser's own words (client hints) come first in the parsers.
"""

import re
from functools import lru_cache

from ua_parser import parse

from cairn.wire.reading import safe_text

_LONGEST = 1_024  # characters that are read; longer ones are nothing a browser sends
_KEPT = 8_192  # user agents; a busy site sees some thousands a day
_TV = re.compile(r"\b(smart-?tv|appletv|googletv|hbbtv|bravia|crkey|aft[a-z]{1,2})\b|\btv\b", re.IGNORECASE)
_TABLET = re.compile(r"\bipad\b|\btablet\b|\bkindle\b|\bsilk/(?!.*\bmobile\b)", re.IGNORECASE)
_MOBILE = re.compile(r"mobi|\biphone\b|\bipod\b|\bphone\b", re.IGNORECASE)
_DESKTOP = re.compile(r"\bwindows nt\b|\bmacintosh\b|\bx11\b|\bcros\b|\blinux\b", re.IGNORECASE)
_SPIDER = "Spider"  # the family the patterns give to whatever declares itself a bot


@lru_cache(_KEPT)
def device_facts(user_agent: str) -> dict[str, str]:
    """Shape: keys from FACTS, only what is known. The caller must not change it."""
    found = parse(safe_text(user_agent[:_LONGEST]))
    facts = {"device_type": device_type(user_agent)}
    if found.user_agent:
        facts["browser"] = found.user_agent.family
        facts["browser_version"] = _version(
            found.user_agent.major, found.user_agent.minor, found.user_agent.patch
        )
    if found.os:
        facts["os"] = found.os.family
        facts["os_version"] = _version(found.os.major, found.os.minor, found.os.patch)
    if found.device:
        facts["device"] = found.device.family
    return {name: value for name, value in facts.items() if value}


@lru_cache(_KEPT)
def is_bot(user_agent: str) -> bool:
    """Whether it says so itself. Browsers driven by a program say nothing of the kind and count as browsers."""
    found = parse(safe_text(user_agent[:_LONGEST]))
    return found.device is not None and found.device.family == _SPIDER


def device_type(user_agent: str) -> str:
    """TV, Tablet, Mobile or Desktop; empty when it cannot be told."""
    agent = user_agent[:_LONGEST]
    if _TV.search(agent):
        return "TV"
    is_mobile = bool(_MOBILE.search(agent))
    if _TABLET.search(agent) or ("Android" in agent and not is_mobile):
        return "Tablet"
    if is_mobile:
        return "Mobile"
    return "Desktop" if _DESKTOP.search(agent) else ""


def _version(*parts: str | None) -> str:
    return ".".join(part for part in parts if part is not None)

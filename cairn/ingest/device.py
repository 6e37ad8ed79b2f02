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
# The family that the uap-core patterns give to what they take for a crawler.
_SPIDER = "Spider"
# A page's script runs in browsers and in programs that drive one; both say Mozilla first.
_ENGINE = re.compile(r"^(?:Mozilla|Opera)/")
# A browser on a person's device. The uap-core patterns take some of them for crawlers by a part of an app's name
# (WhatsApp on the desktop, Amazon Silk, Daum, Yahoo Japan), so here only the agent's own declaration counts.
_BROWSER = re.compile(
    r"^Mozilla/5\.0 \([^)]*\b(?:Windows NT|Macintosh|X11|Linux|iPhone|iPad|iPod|Android|CrOS|Tizen)"
    r".*\b(?:AppleWebKit|Gecko|Trident)\b",
    re.IGNORECASE,
)
# How programs declare themselves: crawlers by their name, tests and monitors by the tool, and both by an address to
# complain to. HeadlessChrome alone is not a declaration: people test their own pages with it and look for the events.
_DECLARES = re.compile(
    r"(?<![a-z0-9_-])(?!cubot)[a-z0-9_-]*(?:bots?|crawl(?:er|ing)?|spider|scrap(?:er|y)|slurp|indexer|archiver)(?![a-z])"
    r"|lighthouse|inspectiontool|read-aloud|structured-data|synthetic|pagespeed|google favicon|web preview|uripreview"
    r"|bingpreview|pingdom|statuscake|gtmetrix|ptst/|site24x7|uptime|checkly|dareboost|thousandeyes|catchpoint"
    r"|dotcom-monitor|phantomjs|slimerjs|puppeteer|playwright|selenium|prerender|rendertron|screaming frog|sitebulb"
    r"|siteimprove|silktide|ghost inspector|healthcheck|monitor(?:ing)?\b|scann(?:er|ing)|validator|linkcheck"
    r"|facebookexternalhit|meta-external|datanyze"
    r"|https?:/|\+\w+@|mailto:"
    # Old browsers say it too.
    r"|\bcompatible;(?! ?(?:msie|konqueror|opera))",
    re.IGNORECASE,
)
# HTTP libraries of people's own servers and apps, which the uap-core patterns take for crawlers.
_LIBRARY = re.compile(
    r"^(?:java|python-urllib|winhttp|wordpress|google-http-java-client|appengine-google|jnlp)\b",
    re.IGNORECASE,
)


@lru_cache(_KEPT)
def device_facts(user_agent: str) -> dict[str, str]:
    """Shape: keys from FACTS, only what is known. The caller must not change it."""
    agent = parse(safe_text(user_agent[:_LONGEST]))
    facts = {"device_type": device_type(user_agent)}
    if agent.user_agent:
        facts["browser"] = agent.user_agent.family
        facts["browser_version"] = _version(
            agent.user_agent.major, agent.user_agent.minor, agent.user_agent.patch
        )
    if agent.os:
        facts["os"] = agent.os.family
        facts["os_version"] = _version(agent.os.major, agent.os.minor, agent.os.patch)
    if agent.device:
        facts["device"] = agent.device.family
    return {name: value for name, value in facts.items() if value}


@lru_cache(_KEPT)
def is_bot(user_agent: str) -> bool:
    """Whether it declares itself a program. Browsers driven by a program that say nothing of the kind are browsers."""
    agent = safe_text(user_agent[:_LONGEST])
    if _ENGINE.search(agent) and _DECLARES.search(agent):
        return True
    if _BROWSER.search(agent) or _LIBRARY.search(agent):
        return False
    device = parse(agent).device
    return device is not None and device.family == _SPIDER


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

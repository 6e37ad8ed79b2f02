"""`/v1/projects/<write key>/settings`: what analytics.js and Segment's mobile libraries ask before they send anything.

Source: contracts/segment.md section 0 (facts 4, 5 and 7) and 3.3. A client that gets no answer sends no event at all,
and one whose answer lacks `integrations["Segment.io"]` or `metrics.host` turns to the vendor. So every answer has both,
for an unknown write key too: its events then come here and are refused where people see it.
"""

import ipaddress
import logging
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from cairn.collect.answer import Answer, cors_headers, preflight, segment_error
from cairn.collect.files import file_of_body, respond
from cairn.collect.request import Request
from cairn.errors import Unavailable
from cairn.members.sets import Published
from cairn.published.directory import Directory, Source
from cairn.published.source_settings import (
    SEGMENT,
    SourceSettings,
    decode,
    document_name,
    without_destinations,
)

logger = logging.getLogger(__name__)

_AGE_S = 60  # how long a page may act on old settings; then one conditional request
_JSON = (b"content-type", b"application/json; charset=utf-8")


class SourceSettingsAnswers:
    """Answers from published documents alone."""

    def __init__(self, published: Published, directory: Callable[[], Directory]) -> None:
        self._published, self._directory = published, directory

    def answer(self, request: Request, write_key: str, origin: str) -> Answer:
        """`origin`: where this Cairn is reached, as the page sees it; empty: the request did not say."""
        cors = cors_headers(request)
        if request.method == "OPTIONS":
            return preflight(request).with_headers(*cors)
        if request.method not in ("GET", "HEAD"):
            refused = segment_error(405, "method_not_allowed", "send GET")
            return refused.with_headers((b"allow", b"GET, HEAD, OPTIONS"), *cors)
        if not origin:
            return segment_error(400, "bad_request", "host: the header names no host").with_headers(*cors)
        settings = addressed(self._settings(write_key), write_key, _reachable(origin, request))
        file = file_of_body(msgspec.json.encode(settings))
        vary = (b"vary", b"Accept-Encoding")
        return respond(file, request, f"public, max-age={_AGE_S}", content_type=_JSON, headers=(*cors, vary))

    def _settings(self, write_key: str) -> SourceSettings:
        source = self._directory().source(write_key)
        if source is None or not source.is_enabled:
            return without_destinations()
        return self._published_for(source) or without_destinations()

    def _published_for(self, source: Source) -> SourceSettings | None:
        """None: nothing that can be read. Then events still come, and reach destinations from here."""
        try:
            document = self._published.document(document_name(source.source_id))
            return decode(document) if document else None
        except (Unavailable, msgspec.MsgspecError):
            logger.exception("source_settings_not_read", extra={"source_id": source.source_id})
            return None


def addressed(settings: SourceSettings, write_key: str, origin: str) -> SourceSettings:
    """Settings with the key and address they were asked by. Pure."""
    protocol, _, host = origin.partition("://")
    api_host = f"{host}/v1"
    integrations = settings.get("integrations") or {}
    segment = {
        **(integrations.get(SEGMENT) or {}),
        "apiKey": write_key,
        "apiHost": api_host,
        "protocol": protocol,
    }
    plugins = [
        {**plugin, "url": f"{origin}{plugin['url']}"} if plugin["url"].startswith("/") else plugin
        for plugin in settings.get("remotePlugins") or []
    ]
    return {
        **settings,
        "integrations": {**integrations, SEGMENT: segment},
        "metrics": {**(settings.get("metrics") or {}), "host": api_host},
        "remotePlugins": plugins,
    }


def _reachable(origin: str, request: Request) -> str:
    """A page over TLS can send to nothing else, so it came by TLS, whatever a proxy in front left unsaid."""
    parts = urlsplit(origin)
    is_secure_page = request.header(b"origin").startswith("https://")
    if parts.scheme == "http" and is_secure_page and not _is_local(parts.hostname or ""):
        return f"https://{origin.removeprefix('http://')}"
    return origin


def _is_local(host: str) -> bool:
    """Browsers let secure pages reach these without TLS."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

"""What an environment lets be kept of captured events: pages and addresses, from its published document.

The browser script obeys the same document before it sends; clients can be old, or be none of ours.
"""

import logging

import msgspec

from cairn.members.sets import Published
from cairn.published.capture import Controls, Pages, decode_controls, document_name

logger = logging.getLogger(__name__)

MOST_PAGES = 100  # patterns that count, as in the script


class ControlsReader:
    """Each environment's controls, read again only when something was published."""

    def __init__(self, published: Published | None) -> None:
        self._published = published
        self._seen = -1
        self._read: dict[int, Controls] = {}

    def refresh(self) -> None:
        """Raises Unavailable."""
        if self._published is None or self._published.changes() == self._seen:
            return
        self._seen = self._published.changes()
        self._read = {}

    def of(self, environment_id: int) -> Controls:
        """Raises Unavailable."""
        if (controls := self._read.get(environment_id)) is None:
            controls = self._read[environment_id] = self._decoded(environment_id)
        return controls

    def _decoded(self, environment_id: int) -> Controls:
        document = self._published.document(document_name(environment_id)) if self._published else None
        if document is None:
            return Controls()
        try:
            return decode_controls(document)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            logger.exception("capture_document_unreadable", extra={"environment_id": environment_id})
            return Controls()


def is_page_captured(pages: Pages, domain: str, path: str) -> bool:
    """The environment's allow or block list. The same cases hold in the script: contract/privacy.json. Pure."""
    if pages.mode not in ("allow", "block"):
        return True
    path, page = path.lower(), (domain + path).lower()
    is_listed = any(
        _is_page(rule.lower(), path if rule[:1] == "/" else page) for rule in pages.pages[:MOST_PAGES]
    )
    return is_listed == (pages.mode == "allow")


def _is_page(rule: str, page: str) -> bool:
    """A domain alone stands for all of its pages."""
    return matches_wildcard(rule, page) or ("/" not in rule and matches_wildcard(f"{rule}/*", page))


def matches_wildcard(rule: str, text: str) -> bool:
    """Is the text the rule, where `*` stands for anything? The earliest place of each piece is as good as a later
    one, so nothing is ever tried twice."""
    start, *pieces = rule.split("*")
    if not pieces:
        return text == rule
    *between, end = pieces
    last = len(text) - len(end)
    if not text.startswith(start) or not text.endswith(end):
        return False
    position = len(start)
    for piece in between:
        position = text.find(piece, position, last)
        if position < 0:
            return False
        position += len(piece)
    return position <= last

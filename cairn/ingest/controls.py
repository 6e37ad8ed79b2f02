"""What an environment lets be kept of captured events: pages and addresses, from its published document.

The browser script obeys the same document before it sends; clients can be old, or be none of ours.
"""

import logging
import re
from functools import lru_cache

import msgspec
from msgspec import Struct

from cairn.members.sets import Published

logger = logging.getLogger(__name__)

MOST_PAGES = 100  # patterns that count, as in the script


class Pages(Struct, frozen=True):
    mode: str = "all"  # all, block, allow
    pages: tuple[str, ...] = ()


class Controls(Struct, frozen=True):
    keep_ip: bool = False
    capture: Pages = Pages()


_documents = msgspec.json.Decoder(Controls)


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
        document = self._published.document(f"capture/{environment_id}") if self._published else None
        if document is None:
            return Controls()
        try:
            return _documents.decode(document)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            logger.exception("capture_document_unreadable", extra={"environment_id": environment_id})
            return Controls()


def is_page_captured(pages: Pages, domain: str, path: str) -> bool:
    """The environment's allow or block list. The same cases hold in the script: contract/privacy.json. Pure."""
    if pages.mode not in ("allow", "block"):
        return True
    is_listed = any(
        _pattern(one).fullmatch(path if one[:1] == "/" else domain + path) for one in _counted(pages)
    )
    return is_listed == (pages.mode == "allow")


def _counted(pages: Pages) -> tuple[str, ...]:
    return pages.pages[:MOST_PAGES]


@lru_cache(1_024)
def _pattern(page: str) -> re.Pattern[str]:
    """`*` stands for anything; a domain alone stands for all of its pages."""
    rule = re.escape(page).replace(r"\*", ".*")
    return re.compile(rule + ("" if "/" in page else "(/.*)?"), re.IGNORECASE | re.DOTALL)

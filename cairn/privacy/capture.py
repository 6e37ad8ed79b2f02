"""What an environment's capture leaves out: pages, text, addresses, and users who did not agree.

Kept per environment, published for the edge as `capture/<environment_id>`, obeyed by the browser script
(browser/capture/config.ts) and, for addresses, by the loader.
Source: contracts/heap.md 4.2 and section 6, privacy.
"""

import re
from datetime import datetime
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from cairn.db.tables import capture_settings
from cairn.errors import InvalidInput, Misconfigured
from cairn.members.sets import Published
from cairn.privacy.snapshot import Snapshot, list_snapshots
from cairn.published.capture import document_name, encode

Mode = Literal["all", "block", "allow"]
MODES: tuple[Mode, ...] = ("all", "block", "allow")
MOST_PAGES = 100  # patterns; Heap's own limit
LONGEST_PAGE = 500  # characters
_BAD_IN_PAGE = re.compile(r"[\s?#\x00-\x1f]|://")


class CaptureSettings(Struct, frozen=True):
    """The defaults hold for an environment that nobody has set."""

    mode: Mode = "all"
    pages: tuple[str, ...] = ()  # domain and path, or a path alone; `*` stands for anything
    is_text_captured: bool = True
    are_ips_kept: bool = False
    is_do_not_track_honoured: bool = False
    is_cookieless: bool = False
    needs_consent: bool = False  # nothing is captured before the page calls startTracking
    are_errors_captured: bool = False
    are_cookies_secure: bool = False
    may_run_javascript: bool = False  # in snapshots; only an owner can allow it
    unreadable: str = ""  # why what is stored cannot be read; then these are not in force. Empty: it can


class _Saved(msgspec.Struct):
    mode: Mode


class BadPage(InvalidInput):
    """A page is a domain with a path, or a path: `shop.example/checkout/*`, `/account`. Without scheme or query."""

    code = "bad_page"


class TooManyPages(InvalidInput):
    """A block or allow list holds 100 patterns. Use `*` to say more with fewer."""

    code = "too_many_pages"


class CaptureUnreadable(Misconfigured):
    """What is stored of the capture settings cannot be read. The last good ones stay in force; save them again."""

    code = "capture_unreadable"


def read_capture(connection: sa.Connection, environment_id: int) -> CaptureSettings:
    query = sa.select(capture_settings.c.body).where(capture_settings.c.environment_id == environment_id)
    row = connection.execute(query).first()
    if row is None:
        return CaptureSettings()
    try:
        msgspec.convert(
            row.body, _Saved
        )  # a document without a mode is none of ours; defaults must not replace it
        return msgspec.convert(row.body, CaptureSettings)
    except msgspec.ValidationError as error:
        return CaptureSettings(unreadable=f"the stored settings cannot be read: {error}")


def write_capture(
    connection: sa.Connection, environment_id: int, settings: CaptureSettings, now: datetime
) -> CaptureSettings:
    """Replace an environment's settings. The caller has checked whose it is. Raises BadPage and TooManyPages."""
    settings = msgspec.structs.replace(settings, pages=clean_pages(settings.pages), unreadable="")
    if settings.mode not in MODES:
        raise InvalidInput(f"mode: expected one of {', '.join(MODES)}", field="mode")
    if settings.mode == "allow" and not settings.pages:
        raise BadPage("pages: an allow list without pages would capture nothing; name one", field="pages")
    row = {"body": msgspec.to_builtins(settings), "updated_at": now}
    changed = connection.execute(
        sa.update(capture_settings).where(capture_settings.c.environment_id == environment_id).values(**row)
    )
    if changed.rowcount == 0:
        connection.execute(sa.insert(capture_settings).values(environment_id=environment_id, **row))
    return settings


def clean_pages(pages: tuple[str, ...]) -> tuple[str, ...]:
    """Without blanks and repeats. Raises BadPage and TooManyPages."""
    kept = tuple(dict.fromkeys(page.strip() for page in pages if page.strip()))
    if len(kept) > MOST_PAGES:
        raise TooManyPages(f"pages: {len(kept)} patterns, {MOST_PAGES} are allowed", field="pages")
    for page in kept:
        if len(page) > LONGEST_PAGE or _BAD_IN_PAGE.search(page):
            raise BadPage(
                f"pages: {page[:60]!r} is not a domain and path; write it like shop.example/checkout/*",
                field="pages",
            )
    return kept


def capture_document(settings: CaptureSettings, snapshots: list[Snapshot]) -> dict[str, Any]:
    """What heap_config.js carries, in the words the script knows; `keep_ip` is for the loader. Pure.

    `disableTracking` is what makes the script wait for startTracking; `consent` says why.
    """
    return {
        "privacy": {
            "disableTextCapture": not settings.is_text_captured,
            "enableSecureCookies": settings.are_cookies_secure,
        },
        "capture": {"mode": settings.mode, "pages": list(settings.pages)},
        "consent": {"required": settings.needs_consent},
        "disableTracking": settings.needs_consent,
        "respectDoNotTrack": settings.is_do_not_track_honoured,
        "cookieless": settings.is_cookieless,
        "captureErrors": settings.are_errors_captured,
        "snapshots": _snapshots(snapshots, may_run_javascript=settings.may_run_javascript),
        "keep_ip": settings.are_ips_kept,
    }


def _snapshots(snapshots: list[Snapshot], *, may_run_javascript: bool) -> dict[str, Any]:
    rules: dict[str, Any] = {}
    for snapshot in snapshots:
        if snapshot.reading == "javascript" and not may_run_javascript:
            continue
        rule = rules.setdefault(snapshot.trigger, {}).setdefault(snapshot.place, {})
        match snapshot.reading:
            case "attribute":
                rule.setdefault("a", {})[snapshot.name] = {
                    "target": snapshot.target,
                    "attribute": snapshot.attribute,
                }
            case "text":
                # The contract keeps the texts of a page and of an interaction apart.
                rule.setdefault("s" if snapshot.trigger == "pageview" else "t", {})[snapshot.name] = (
                    snapshot.target
                )
            case "value":
                rule.setdefault("f", {})[snapshot.name] = snapshot.target
            case "javascript":
                rule.setdefault("j", {})[snapshot.name] = snapshot.target
    return rules


def publish_capture(connection: sa.Connection, published: Published, environment_id: int) -> None:
    """Raises CaptureUnreadable. Guarantee: publishing again without a change writes the same bytes."""
    settings = read_capture(connection, environment_id)
    if settings.unreadable:  # defaults might capture what nobody wants captured
        raise CaptureUnreadable(settings.unreadable)
    document = capture_document(settings, list_snapshots(connection, environment_id))
    published.publish({document_name(environment_id): encode(document)})

"""Privacy of one environment: what capture leaves out, snapshots, and the users who were deleted."""

from msgspec import structs
from starlette.responses import Response

from cairn.app import privacy
from cairn.app.editions import editions_of
from cairn.errors import CairnError
from cairn.privacy.capture import MODES, MOST_PAGES, CaptureSettings, Mode
from cairn.privacy.snapshot import READINGS, TRIGGERS, NewSnapshot
from cairn.web.portion import portion
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.edits import StaleVersion
from cairn.workspace.permission import Verb

MODE_WORDS = {
    "all": "Capture every page",
    "block": "Capture every page but these",
    "allow": "Capture only these pages",
}
SWITCHES: tuple[tuple[str, str, str], ...] = (  # (setting, what it is called, what it does)
    (
        "is_text_captured",
        "Text of elements",
        "The text of a clicked button or link; never what was typed.",
    ),
    ("are_errors_captured", "JavaScript errors", "The message and place of errors on the page."),
    ("are_ips_kept", "IP addresses", "Off: used to look up the country and city, then forgotten."),
    ("needs_consent", "Consent first", "Nothing happens before the page calls heap.startTracking()."),
    (
        "is_do_not_track_honoured",
        "Honour Do Not Track",
        "And Global Privacy Control: such browsers are left alone.",
    ),
    ("is_cookieless", "Without cookies", "Users are known for one visit to a tab only."),
    ("are_cookies_secure", "Secure cookies", "Cookies travel over TLS only, as SameSite=None."),
)
OWNERS_SWITCH = (
    "may_run_javascript",
    "JavaScript snapshots",
    "Admins may write functions that run on your pages when an event fires. Off: none is delivered.",
)


def privacy_page(visit: Visit, error: CairnError | None = None) -> Response:
    read = privacy.read_capture_edition(visit.call, visit.here)
    settings, edition = read.value, read.edition
    is_typed = error is not None and "mode" in visit.form
    shown = _typed(visit, settings) if is_typed else settings
    readings = [reading for reading in READINGS if reading != "javascript" or settings.may_run_javascript]
    snapshots = portion(privacy.list_snapshots(visit.call, visit.here), visit.ask("from"))
    return visit.page(
        "privacy.html",
        status=error.status if error else 200,
        error=error,
        settings=shown,
        edition=edition,
        pages=visit.form("pages") if is_typed else "\n".join(settings.pages),
        snapshots=snapshots,
        editions=editions_of(visit.call, "snapshot", [snapshot.id for snapshot in snapshots.items]),
        deletions=portion(privacy.list_deletions(visit.call), visit.ask("deleted"), parameter="deleted"),
        modes=[(mode, MODE_WORDS[mode]) for mode in MODES],
        switches=_switches(visit),
        most_pages=MOST_PAGES,
        triggers=[(trigger, trigger) for trigger in TRIGGERS],
        readings=[(reading, reading) for reading in readings],
        may_change=visit.may(Verb.CHANGE_PRIVACY),
    )


def _switches(visit: Visit) -> tuple[tuple[str, str, str], ...]:
    return (*SWITCHES, OWNERS_SWITCH) if visit.may(Verb.OWN) else SWITCHES


def _typed(visit: Visit, before: CaptureSettings) -> CaptureSettings:
    """What the form says; what it does not show stays."""
    mode: Mode = next((choice for choice in MODES if choice == visit.form("mode")), "all")
    switched = {name: visit.form(name) == "1" for name, _, _ in _switches(visit)}
    kept = {} if visit.may(Verb.OWN) else {"may_run_javascript": before.may_run_javascript}
    typed = CaptureSettings(mode=mode, pages=tuple(visit.form("pages").splitlines()))
    return structs.replace(typed, **switched, **kept)


def change_capture(visit: Visit) -> Response:
    try:
        typed = _typed(visit, privacy.read_capture(visit.call, visit.here))
        privacy.change_capture(visit.call, visit.here, typed, expected=visit.seen_edition)
    except StaleVersion:
        raise
    except CairnError as error:
        return privacy_page(visit, error)
    return visit.go(visit.url("/privacy"), "Saved. Browsers follow within a minute.")


def make_snapshot(visit: Visit) -> Response:
    form = visit.form
    new = NewSnapshot(
        name=form.line("name"),
        trigger=next((choice for choice in TRIGGERS if choice == form("trigger")), TRIGGERS[0]),
        place=form.line("place"),
        reading=next((choice for choice in READINGS if choice == form("reading")), READINGS[0]),
        target=form.line("target"),
        attribute=form.line("attribute"),
    )
    try:
        made = privacy.add_snapshot(visit.call, visit.here, new).value
    except CairnError as error:
        return privacy_page(visit, error)
    return visit.go(visit.url("/privacy#snapshots"), f"Snapshot {made.name} reads from now on.")


def drop_snapshot(visit: Visit) -> Response:
    privacy.remove_snapshot(visit.call, visit.here, visit.number("snapshot_id"), expected=visit.seen_edition)
    return visit.go(visit.url("/privacy#snapshots"), "The snapshot is deleted. What it read stays.")


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/privacy", privacy_page),
    post("/env/{environment}/privacy", change_capture, Verb.CHANGE_PRIVACY),
    post("/env/{environment}/privacy/snapshots", make_snapshot, Verb.CHANGE_PRIVACY),
    post("/env/{environment}/privacy/snapshots/{snapshot_id}/delete", drop_snapshot, Verb.CHANGE_PRIVACY),
)

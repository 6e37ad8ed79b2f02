"""Home: how it is going, what needs a look, what is left to set up. Every number is counted when it is asked for."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from starlette.responses import Response

from cairn.analysis import pulse
from cairn.analysis.events import latest
from cairn.db.tables import flag_states, flags, rules, segment_states, segments
from cairn.definitions.health import Finding
from cairn.web.audience import names_segment
from cairn.web.pages.events import concerns_of
from cairn.web.pages.live import explain, rows_of
from cairn.web.render import count, query
from cairn.web.snippets import curl_track
from cairn.web.visit import Page, Visit, get, place_of

DAYS = 14  # of the sparklines
FEED = 6  # rows of the live card
REASONS_SHOWN = 4  # of refused events; a broken client finds many, and one line each would bury the rest
WORRYING = ("invalid", "failed", "rate_limited")


class Concern(Struct, frozen=True):
    """Something that needs a look, with what to do about it."""

    state: str  # bad, warn or nothing
    label: str
    title: str
    text: str
    url: str
    action: str


class Step(Struct, frozen=True):
    """One of the first steps."""

    done: bool
    title: str
    hint: str
    url: str
    action: str


class Defined(Struct, frozen=True):
    """What exists in this environment."""

    segments: int
    members: int
    identified: int
    flags: int
    flags_on: int
    troubled: list[tuple[int, str, int, str]]  # segment id, name, drift, error
    too_long: list[
        tuple[str, str, int]
    ]  # flag key, segment name, size: lists that Python SDKs cannot be given


def home_page(visit: Visit) -> Response:
    store, environment = visit.core.store, visit.here
    after = visit.core.feed.newest(environment.id)
    days = pulse.series(store, environment.id, now=visit.now, step_ms=pulse.DAY_MS, steps=DAYS)
    spans = (timedelta(hours=1), timedelta(days=1))
    hour, today = pulse.totals(store, environment.id, now=visit.now, spans=spans)
    heard = pulse.heard_from(store, environment.id, now=visit.now)
    refusals = pulse.refusals(store, environment.id, now=visit.now)
    with visit.reading() as connection:
        defined = _defined(
            connection, environment.id, environment.project_id, visit.core.settings.inline_limit
        )
        found = latest(store, connection, environment.id, now=visit.now, limit=FEED)
    concerns = _concerns(visit, defined, refusals)
    return visit.page(
        "home.html", days=days, hour=hour, today=today, defined=defined, concerns=concerns, rows=rows_of(found),
        after=after, steps=_steps(visit, defined, heard), greeting=_greeting(visit),
        opening=_opening(visit, hour, today, concerns),
        first_event=curl_track(place_of(visit)),
    )  # fmt: skip


def _defined(connection: sa.Connection, environment_id: int, project_id: int, inline_limit: int) -> Defined:
    state = segment_states.c
    rows = connection.execute(
        sa.select(segments.c.id, segments.c.name, state.users, state.identified, state.drift, state.error)
        .outerjoin(
            segment_states, (state.segment_id == segments.c.id) & (state.environment_id == environment_id)
        )
        .where(segments.c.project_id == project_id)
    ).all()
    known = connection.execute(
        sa.select(flag_states.c.is_on)
        .select_from(flags)
        .outerjoin(
            flag_states,
            (flag_states.c.flag_id == flags.c.id) & (flag_states.c.environment_id == environment_id),
        )
        .where(flags.c.project_id == project_id, flags.c.archived_at.is_(None))
    ).all()
    return Defined(
        segments=len(rows),
        members=sum(row.users or 0 for row in rows),
        identified=sum(row.identified or 0 for row in rows),
        flags=len(known),
        flags_on=sum(bool(row.is_on) for row in known),
        troubled=[
            (row.id, row.name, row.drift or 0, row.error or "") for row in rows if row.drift or row.error
        ],
        too_long=_too_long(
            connection, environment_id, [row for row in rows if (row.identified or 0) > inline_limit]
        ),
    )


def _too_long(
    connection: sa.Connection,
    environment_id: int,
    long: list[Any],  # Any: rows of segments and their states
) -> list[tuple[str, str, int]]:
    if not long:
        return []
    query = sa.select(flags.c.key, rules.c.body).join(rules, rules.c.flag_id == flags.c.id)
    asked = connection.execute(
        query.where(rules.c.environment_id == environment_id, flags.c.archived_at.is_(None))
    )
    found = [
        (key, row.name, row.identified) for key, body in asked for row in long if names_segment(body, row.id)
    ]
    return list(dict.fromkeys(found))


def _concerns(visit: Visit, defined: Defined, refusals: list[pulse.Refusals]) -> list[Concern]:
    found = [
        Concern("bad", trouble.label, trouble.title, trouble.text, visit.url("/live"), "Look")
        for trouble in visit.core.troubles()
    ]
    for segment_id, name, drift, error in defined.troubled:
        url = visit.url(f"/segments/{segment_id}")
        if error:
            found.append(
                Concern("bad", "failing", f"Segment {name} could not be counted", error, url, "Open")
            )
        else:
            text = f"The last full recount differed by {count(drift, 'user')} and put it right."
            found.append(Concern("warn", "drifted", f"Segment {name} had drifted", text, url, "Open"))
    for key, name, size in defined.too_long:
        title = f"Python applications cannot get flag {key} for segment {name}"
        text = f"{count(size, 'member')} are more than settings may hold; Node asks the gateway and is not concerned."
        found.append(Concern("warn", "SDK", title, text, visit.url(f"/flags/{key}"), "Open"))
    found += _of_refusals(visit, [each for each in refusals if each.outcome in WORRYING])
    found += [_of_event(visit, finding) for finding in concerns_of(visit)]
    if visit.is_operator:
        found += _unknown_keys(visit)
    return found


def _of_refusals(visit: Visit, refusals: list[pulse.Refusals]) -> list[Concern]:
    """The most frequent reasons, and one line for all the others."""
    found = []
    for refusal in refusals[:REASONS_SHOWN]:
        state = "bad" if refusal.outcome == "failed" else "warn"
        text = f"{refusal.reason.replace('_', ' ').capitalize()}: {explain(refusal.reason)}"
        address = query({"outcome": refusal.outcome, "q": refusal.reason})
        found.append(
            Concern(
                state, refusal.outcome.replace("_", " "), _refused(refusal.count), text,
                f"{visit.url('/live')}{address}", "Look",
            )
        )  # fmt: skip
    if others := refusals[REASONS_SHOWN:]:
        text = f"For {count(len(others), 'other reason')}, each less often than the ones above."
        found.append(
            Concern("warn", "others", _refused(sum(each.count for each in others)), text, visit.url("/live"), "Look")
        )  # fmt: skip
    return found


def _refused(number: int) -> str:
    return f"{count(number, 'event was', 'events were')} refused in the last hour"


def _of_event(visit: Visit, finding: Finding) -> Concern:
    state, label = ("bad", "stopped") if finding.kind == "broken" else ("warn", finding.kind)
    url = visit.url(f"/events/{finding.event_id}" if finding.event_id else "/events#names")
    return Concern(state, label, finding.title, finding.text, url, "Look")


def _unknown_keys(visit: Visit) -> list[Concern]:
    found = pulse.refusals(visit.core.store, 0, now=visit.now)
    total = sum(refusal.count for refusal in found)
    if not total:
        return []
    title = f"{count(total, 'request')} came with an unknown key in the last hour"
    text = "A client has a wrong, old or mistyped key. What it sends is lost until it has the right one."
    return [Concern("warn", "unknown key", title, text, f"{visit.url('/live')}?keys=unknown", "Look")]


def _steps(visit: Visit, defined: Defined, heard: list[pulse.Heard]) -> list[Step]:
    keys = visit.url("/keys")
    is_demo = visit.workspace is not None and visit.workspace.is_demo
    shop = Step(
        any(each.library == "web" for each in heard), "Walk through the demo shop", "and watch Live beside it",
        f"/demo/shop/{visit.here.app_id}/", "Open the shop",
    )  # fmt: skip
    return [
        *([shop] if is_demo else []),
        Step(bool(heard), "Send the first event", "from your server, with a key of this environment", keys, "Show me"),
        Step(any(each.identifies for each in heard), "Say who somebody is", "identify a user by e-mail or id",
             f"{keys}#segment", "Show me"),
        Step(defined.segments > 0, "Make a segment", "users by what they are and did", visit.url("/segments/new"),
             "New segment"),
        Step(defined.flags_on > 0, "Switch a flag on", "for the users of a segment", visit.url("/flags"), "Flags"),
        Step(any(each.exposures for each in heard), "Point your flag SDK at the gateway",
             "one line: gatewayService.url", f"{keys}#flags", "Show me"),
    ]  # fmt: skip


def _greeting(visit: Visit) -> str:
    hour = visit.now.astimezone(visit.zone).hour
    words = ((5, "Good night"), (12, "Good morning"), (18, "Good afternoon"), (25, "Good evening"))
    return next(word for until, word in words if hour < until)


def _opening(visit: Visit, hour: pulse.Step, today: pulse.Step, concerns: list[Concern]) -> str:
    """The sentence the page opens with."""
    project = next(name for name, each in visit.environments if each.id == visit.here.id)
    if today.users == 0:
        return f"Nobody used {project} in the last day, as far as {visit.here.name} knows."
    now = count(hour.users, "user") if hour.users else "Nobody"
    who = f"{now} used {project} in the last hour, {count(today.users, 'user')} in the last day."
    look = f"{count(len(concerns), 'thing')} {'needs' if len(concerns) == 1 else 'need'} a look."
    return f"{who} {look.capitalize() if concerns else 'Nothing needs a look.'}"


PAGES: tuple[Page, ...] = (get("/env/{environment}", home_page),)

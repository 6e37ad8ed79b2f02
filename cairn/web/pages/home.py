"""Home: how it is going, what needs a look, what is left to set up. Every number is counted when it is asked for."""

from collections.abc import Iterator

from msgspec import Struct
from starlette.responses import HTMLResponse, Response

from cairn.analysis.event_health import Finding
from cairn.analysis.overview import Bucket, Heard, Refusals
from cairn.app.heap_audiences import ShownAudience
from cairn.app.overview import WEB, CountedSegment, LongList, Overview, first_steps, read_overview
from cairn.app.python_lists import WithheldLists
from cairn.calendar import zone_of
from cairn.routing.report import Troubled
from cairn.sync.audience_state import State
from cairn.sync.hooks import Hook
from cairn.sync.syncs import FailingSync
from cairn.web.browser_snippet import neutral
from cairn.web.pages.live import LiveRow, explain, rows_of
from cairn.web.render import count, full_time, query, templates
from cairn.web.snippets import curl_track
from cairn.web.visit import Page, Visit, client_of, get
from cairn.workspace.permission import Verb

DAYS = 14  # of the sparklines
FEED = 6  # rows of the live card
REASONS_SHOWN = 4  # of refused events; a broken client finds many, and one line each would bury the rest
SHOWN_EACH = 3  # things of one kind by name; what stops one often stops many
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
    """How much exists in this environment."""

    segments: int
    members: int
    identified: int
    flags: int
    flags_on: int


class First(Struct, frozen=True):
    """The card that a new workspace opens with."""

    after: int  # the feed's number of the newest event it knows of
    code: str  # for the head of a page, as Sources and keys has it
    event: LiveRow | None = None
    click: LiveRow | None = None

    @property
    def step(self) -> str:
        return "click" if self.click else "event" if self.event else "waiting"


def home_page(visit: Visit) -> Response:
    after = visit.core.feed.newest(visit.here.id)
    overview = read_overview(visit.call, visit.here, days=DAYS, latest_events=FEED)
    concerns = _concerns(visit, overview)
    return visit.page(
        "home.html",
        days=overview.days,
        defined=_defined(overview),
        concerns=concerns,
        rows=rows_of(overview.latest),
        after=after,
        steps=_steps(visit, overview),
        greeting=_greeting(visit),
        opening=_opening(visit, overview.hour, overview.today, concerns),
        curl=curl_track(client_of(visit)),
        first=_first(visit, after, overview.heard),
    )


def first_card(visit: Visit) -> Response:
    """The card once more, when there is news; empty when its work is done."""
    after = visit.core.feed.newest(visit.here.id)
    if visit.ask("after") == str(after):
        return Response(status_code=204)
    first = _first(visit, after)
    html = templates().get_template("_first.html").render(visit=visit, first=first)
    # With the first event, and the first click, the numbers around the card have become others too.
    has_turned = first is None or first.step != visit.ask("step")
    return HTMLResponse(html, headers={"HX-Refresh": "true"} if has_turned else {})


def _first(visit: Visit, after: int, heard: list[Heard] | None = None) -> First | None:
    steps = first_steps(visit.call, visit.here, heard)
    if steps is None or (steps.event is not None and not visit.may(Verb.DEFINE)):
        return None
    event, click = (rows_of([event])[0] if event else None for event in (steps.event, steps.click))
    return First(after, neutral(client_of(visit)).code, event, click)


def _defined(overview: Overview) -> Defined:
    states = [entry.state for entry in overview.segments if entry.state is not None]
    return Defined(
        segments=len(overview.segments),
        members=sum(state.users for state in states),
        identified=sum(state.identified for state in states),
        flags=overview.flags.flags,
        flags_on=overview.flags.are_on,
    )


def _concerns(visit: Visit, overview: Overview) -> list[Concern]:
    concerns = [
        Concern("bad", problem.label, problem.title, problem.text, visit.url("/live"), "Look")
        for problem in overview.problems
    ]
    concerns += _of_segments(visit, overview.segments)
    concerns += _of_lists(visit, list(dict.fromkeys(overview.long_lists)))
    concerns += _of_audiences(visit, overview.audiences)
    concerns += _of_syncs(visit, overview.syncs)
    concerns += _of_connections(visit, overview.connections)
    concerns += _of_hooks(visit, overview.hooks)
    concerns += _of_withheld(visit, overview.withheld_lists)
    concerns += _of_refusals(visit, [refusal for refusal in overview.refusals if refusal.outcome in WORRYING])
    concerns += _of_events(visit, overview.findings)
    if overview.unknown_keys:
        concerns.append(_of_unknown_keys(visit, overview.unknown_keys))
    return concerns


def _of_segments(visit: Visit, counted: list[CountedSegment]) -> Iterator[Concern]:
    """What failed first comes first, and what fails in great number is one line."""
    states = [(entry.segment, entry.state) for entry in counted if entry.state is not None]
    failing = [(segment, state) for segment, state in states if state.error]
    failing.sort(key=lambda pair: pair[1].failed_at or visit.now)
    for segment, state in failing[:SHOWN_EACH]:
        since = f" since {full_time(state.failed_at, visit.zone)}" if state.failed_at else ""
        url = visit.url(f"/segments/{segment.id}")
        yield Concern(
            "bad", "failing", f"Segment {segment.name} is not live{since}", state.error, url, "Open"
        )
    if (more := len(failing) - SHOWN_EACH) > 0:
        title = f"{count(more, 'more segment')} {'is' if more == 1 else 'are'} not live"
        text = "Their pages say why. Each is counted again until that succeeds."
        yield Concern("bad", "failing", title, text, visit.url("/segments"), "Open")
    drifted = [(segment, state) for segment, state in states if state.drift and not state.error]
    for segment, state in drifted[:SHOWN_EACH]:
        text = f"The last full recount differed by {count(state.drift, 'user')} and put it right."
        url = visit.url(f"/segments/{segment.id}")
        yield Concern("warn", "drifted", f"Segment {segment.name} had drifted", text, url, "Open")
    if (more := len(drifted) - SHOWN_EACH) > 0:
        title = f"{count(more, 'more segment')} had drifted"
        yield Concern(
            "warn", "drifted", title, "Their pages say by how much.", visit.url("/segments"), "Open"
        )


def _of_lists(visit: Visit, lists: list[LongList]) -> Iterator[Concern]:
    """A large segment is asked about by many flags: the rest of them is one line."""
    for long in lists[:SHOWN_EACH]:
        title = f"Python applications cannot get flag {long.flag_key} for segment {long.segment.name}"
        size = count(long.size, "member")
        text = f"{size} are more than settings may hold; Node asks the gateway and is not concerned."
        yield Concern("warn", "SDK", title, text, visit.url(f"/flags/{long.flag_key}"), "Open")
    if (more := len(lists) - SHOWN_EACH) > 0:
        title = f"{count(more, 'more flag')} {'has' if more == 1 else 'have'} lists that Python applications cannot get"
        yield Concern("warn", "SDK", title, "Their pages say which.", visit.url("/flags"), "Open")


def _of_syncs(visit: Visit, syncs: list[FailingSync]) -> Iterator[Concern]:
    """What failed first comes first."""
    for sync in syncs[:SHOWN_EACH]:
        title = f"Segment {sync.segment} is not synced to {sync.target} since {full_time(sync.failed_at, visit.zone)}"
        yield Concern("bad", "failing", title, sync.error, visit.url(f"/segments/{sync.segment_id}"), "Open")
    if (more := len(syncs) - SHOWN_EACH) > 0:
        title = f"{count(more, 'more sync')} {'fails' if more == 1 else 'fail'}"
        text = "Their segments' pages say why. Each is tried again until its target takes it."
        yield Concern("bad", "failing", title, text, visit.url("/directory"), "Open")


def _of_connections(visit: Visit, troubled: list[Troubled]) -> Iterator[Concern]:
    """What waits longest comes first."""
    for entry in troubled[:SHOWN_EACH]:
        url = visit.url(f"/connections/{entry.connection_id}/delivery")
        if entry.state == "delivering":
            title = f"Connection {entry.name} gave up {count(entry.failed, 'message')} in the last hour"
            text = "The dead letters say why; they can be sent again."
            yield Concern(
                "bad", "given up", title, text, f"{url.removesuffix('delivery')}dead-letters", "Open"
            )
            continue
        since = full_time(entry.since, visit.zone)
        title = (
            f"Connection {entry.name} is {entry.state} since {since}, with {count(entry.waiting, 'message')}"
        )
        yield Concern(
            "bad" if entry.state == "stopped" else "warn", entry.state, title, entry.detail, url, "Open"
        )
    if (more := len(troubled) - SHOWN_EACH) > 0:
        title = f"{count(more, 'more connection')} {'needs' if more == 1 else 'need'} a look"
        yield Concern("warn", "waiting", title, "The map says which.", visit.url("/connections"), "Open")


def _of_hooks(visit: Visit, hooks: list[Hook]) -> Iterator[Concern]:
    for hook in hooks[:SHOWN_EACH]:
        title = f"The webhook to {hook.url[:200]} is not taken"
        yield Concern("warn", "webhook", title, hook.error, visit.url(f"/webhooks?hook={hook.id}"), "Open")


def _of_audiences(visit: Visit, audiences: list[ShownAudience]) -> Iterator[Concern]:
    """Audiences of the Heap account whose sync fails, or from which nothing comes any more."""
    for shown in audiences[:SHOWN_EACH]:
        is_failing = shown.condition.state is State.FAILED
        title = f"Audience {shown.audience.name} {'is not synced' if is_failing else 'has gone silent'}"
        text = f"{shown.condition.reason[:1].upper()}{shown.condition.reason[1:]}. {shown.condition.todo}."
        url = visit.url(f"/heap/audiences/{shown.audience.id}")
        yield Concern("bad" if is_failing else "warn", shown.condition.state.value, title, text, url, "Open")
    if (more := len(audiences) - SHOWN_EACH) > 0:
        title = f"{count(more, 'more audience')} {'is' if more == 1 else 'are'} not synced"
        yield Concern("warn", "stale", title, "The page of Heap says why.", visit.url("/heap"), "Open")


def _of_withheld(visit: Visit, withheld: list[WithheldLists]) -> Iterator[Concern]:
    """One line however many flags: one switch is behind them all."""
    if not withheld:
        return
    names = ", ".join(lists.flag_key for lists in withheld[:SHOWN_EACH])
    if (more := len(withheld) - SHOWN_EACH) > 0:
        names += f" and {more} more"
    title = f"Python's SDK asks for {names} without the lists they need"
    text = (
        f"Lists for Python is off in {visit.here.name}, so for Python these conditions hold for nobody. "
        "Switched on, it shows every identity in the lists, such as an e-mail address, to anyone with the SDK key."
    )
    yield Concern("warn", "SDK", title, text, visit.url("/keys#python-lists"), "The switch")


def _of_refusals(visit: Visit, refusals: list[Refusals]) -> list[Concern]:
    """The most frequent reasons, and one line for all the others."""
    concerns = []
    for refusal in refusals[:REASONS_SHOWN]:
        state = "bad" if refusal.outcome == "failed" else "warn"
        text = f"{refusal.reason.replace('_', ' ').capitalize()}: {explain(refusal.reason)}"
        address = query({"outcome": refusal.outcome, "q": refusal.reason})
        concerns.append(
            Concern(
                state,
                refusal.outcome.replace("_", " "),
                _refused(refusal.count),
                text,
                f"{visit.url('/live')}{address}",
                "Look",
            )
        )
    if others := refusals[REASONS_SHOWN:]:
        text = f"For {count(len(others), 'other reason')}, each less often than the ones above."
        concerns.append(
            Concern(
                "warn",
                "others",
                _refused(sum(other.count for other in others)),
                text,
                visit.url("/live"),
                "Look",
            )
        )
    return concerns


def _refused(number: int) -> str:
    return f"{count(number, 'event was', 'events were')} refused in the last hour"


def _of_events(visit: Visit, findings: list[Finding]) -> Iterator[Concern]:
    """What is found of one event is often found of many: the rest of each kind is one line."""
    for kind, label in (("broken", "stopped"), ("duplicate", "duplicate"), ("unplanned", "unplanned")):
        alike = [finding for finding in findings if finding.kind == kind]
        for finding in alike[:SHOWN_EACH]:
            yield _of_event(visit, finding)
        if (more := len(alike) - SHOWN_EACH) > 0:
            title = f"{count(more, 'more finding')} of this kind"
            state = "bad" if kind == "broken" else "warn"
            yield Concern(state, label, title, "Events has them all.", visit.url("/events#findings"), "Look")


def _of_event(visit: Visit, finding: Finding) -> Concern:
    state, label = ("bad", "stopped") if finding.kind == "broken" else ("warn", finding.kind)
    url = visit.url(f"/events/{finding.event_id}" if finding.event_id else "/events#names")
    return Concern(state, label, finding.title, finding.text, url, "Look")


def _of_unknown_keys(visit: Visit, requests: int) -> Concern:
    title = f"{count(requests, 'request')} came with an unknown key in the last hour"
    text = "A client has a wrong, old or mistyped key. What it sends is lost until it has the right one."
    return Concern("warn", "unknown key", title, text, f"{visit.url('/live')}?keys=unknown", "Look")


def _steps(visit: Visit, overview: Overview) -> list[Step]:
    heard, keys = overview.heard, visit.url("/keys")
    is_demo = visit.workspace is not None and visit.workspace.is_demo
    shop = Step(
        any(sender.library == WEB for sender in heard),
        "Walk through the demo shop",
        "and watch Live beside it",
        f"/demo/shop/{visit.here.app_id}/",
        "Open the shop",
    )
    return [
        *([shop] if is_demo else []),
        Step(
            bool(heard),
            "Send the first event",
            "from your server, with a key of this environment",
            keys,
            "Show me",
        ),
        Step(
            any(sender.identifies for sender in heard),
            "Say who somebody is",
            "identify a user by e-mail or id",
            f"{keys}#segment",
            "Show me",
        ),
        Step(
            bool(overview.segments),
            "Make a segment",
            "users by what they are and did",
            visit.url("/segments/new"),
            "New segment",
        ),
        Step(
            overview.flags.are_on > 0,
            "Switch a flag on",
            "for the users of a segment",
            visit.url("/flags"),
            "Flags",
        ),
        Step(
            any(sender.exposures for sender in heard),
            "Point your flag SDK at the gateway",
            "one line: gatewayService.url",
            f"{keys}#flags",
            "Show me",
        ),
    ]


def _greeting(visit: Visit) -> str:
    hour = visit.now.astimezone(zone_of(visit.browser_zone)).hour  # it is the reader who is greeted
    words = ((5, "Good night"), (12, "Good morning"), (18, "Good afternoon"), (25, "Good evening"))
    return next(word for until, word in words if hour < until)


def _opening(visit: Visit, hour: Bucket, today: Bucket, concerns: list[Concern]) -> str:
    """The sentence the page opens with."""
    project = next(name for name, environment in visit.environments if environment.id == visit.here.id)
    if today.users == 0:
        return f"Nobody used {project} in the last 24 hours, as far as {visit.here.name} knows."
    now = count(hour.users, "user") if hour.users else "Nobody"
    who = f"{now} used {project} in the last hour, {count(today.users, 'user')} in the last 24 hours."
    look = f"{count(len(concerns), 'thing')} {'needs' if len(concerns) == 1 else 'need'} a look."
    return f"{who} {look.capitalize() if concerns else 'Nothing needs a look.'}"


PAGES: tuple[Page, ...] = (
    get("/env/{environment}", home_page),
    get("/env/{environment}/first", first_card),
)

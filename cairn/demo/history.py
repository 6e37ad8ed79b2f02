"""A few weeks of plausible, generated behaviour for the demo workspace, the same at every run but for its end.

It enters through the event log as the capture script would have sent it from the demo shop (`history_visit`), marked
`library: demo`, so that pages can label it.
"""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec

from cairn.clock import to_ms
from cairn.demo.history_visit import Message, Visit
from cairn.event import Arrival

DAYS = 28
# Days since the cart's link got its present class: a defined event that names the old one stopped then.
REDESIGN = 3
USERS = 240
EVENTS_PER_ARRIVAL = 500

NAMES = (
    "ada",
    "ben",
    "cleo",
    "dana",
    "eli",
    "finn",
    "gwen",
    "hugo",
    "ida",
    "jon",
    "kim",
    "li",
    "mia",
    "noor",
    "otto",
    "pia",
    "quin",
    "rosa",
    "sam",
    "tess",
    "uma",
    "vic",
    "wren",
    "yara",
)
COUNTRIES = ("Germany", "France", "Austria", "Norway", "Spain", "Canada")
WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6"
BLINK = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0"
AGENTS = (
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {BLINK} Safari/537.36",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {BLINK} Mobile Safari/537.36",
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) {WEBKIT} Mobile/15E148 Safari/604.1",
)


def arrivals(environment_id: int, app_id: str, *, now: datetime) -> Iterator[Arrival]:
    """Property writes first, then events in bulk requests, oldest first."""
    draw = random.Random(7)
    people = [_person(number, draw) for number in range(USERS)]
    yield _arrival(
        environment_id,
        "heap.add_user_properties",
        {"app_id": app_id, "library": "demo", "users": people},
        now,
    )
    events = sorted(_events(app_id, people, draw, now), key=lambda event: event["time"])
    for start in range(0, len(events), EVENTS_PER_ARRIVAL):
        body = {"events": events[start : start + EVENTS_PER_ARRIVAL]}
        yield _arrival(environment_id, "heap.capture.track", body, now, app_id)


def _arrival(environment_id: int, parser: str, body: object, now: datetime, app_id: str = "") -> Arrival:
    extra = {"app_id": app_id, "content_type": "application/json"} if app_id else {}
    encoded = msgspec.json.encode(body)
    return Arrival(parser, environment_id, 0, "demo", to_ms(now), "127.0.0.1", "", encoded, extra)


def _person(number: int, draw: random.Random) -> dict[str, object]:
    name = NAMES[number % len(NAMES)]
    suffix = number // len(NAMES)
    email = f"{name}{suffix or ''}@shop.test"
    return {
        "identity": email,
        "properties": {
            "email": email,
            "name": name.title(),
            "plan": draw.choices(("free", "pro", "premium"), (60, 22, 18))[0],
            "country": draw.choice(COUNTRIES),
            "seats": draw.choice((1, 1, 1, 3, 5, 20)),
        },
    }


def _events(
    app_id: str, people: list[dict[str, object]], draw: random.Random, now: datetime
) -> Iterator[Message]:
    for number, person in enumerate(people):
        eagerness = draw.paretovariate(1.6)
        devices = [
            (10**6 + number * 10 + index, draw.choice(AGENTS)) for index in range(draw.choice((1, 1, 2)))
        ]
        is_known = False  # nobody signs in on the first visit; what they did there becomes theirs later
        for day in reversed(range(DAYS)):
            weekend = (now - timedelta(days=day)).weekday() >= 5
            if draw.random() > min(0.75, 0.09 * eagerness) * (0.6 if weekend else 1.0):
                continue
            start = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=day)
            start += timedelta(seconds=draw.triangular(6 * 3600, 23 * 3600, 15 * 3600))
            device, agent = draw.choice(devices)
            identity = str(person["identity"]) if is_known else ""
            visit = Visit(
                app_id, device, agent, identity, start, draw, cart="basket" if day > REDESIGN else "cart"
            )
            yield from (message for message in visit.walk() if message["time"] < to_ms(now))
            is_known = True

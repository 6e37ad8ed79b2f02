"""A few weeks of plausible, generated behaviour for the demo workspace, the same at every run but for its end.

It enters through the event log like everything else, marked `library: demo`, so that pages can label it.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from cairn.clock import to_ms
from cairn.event import Arrival

DAYS = 28
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
PRODUCTS = (
    ("Walking boots", 129.5),
    ("Rain jacket", 89.0),
    ("Map case", 24.9),
    ("Head torch", 39.9),
    ("Tent", 319.0),
)
COUNTRIES = ("Germany", "France", "Austria", "Norway", "Spain", "Canada")
CAMPAIGNS = ("", "", "spring", "newsletter", "")


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
    events = sorted(_events(people, draw, now), key=lambda event: str(event["timestamp"]))
    for start in range(0, len(events), EVENTS_PER_ARRIVAL):
        body = {"app_id": app_id, "library": "demo", "events": events[start : start + EVENTS_PER_ARRIVAL]}
        yield _arrival(environment_id, "heap.track", body, now)


def _arrival(environment_id: int, parser: str, body: object, now: datetime) -> Arrival:
    return Arrival(parser, environment_id, 0, "demo", to_ms(now), "127.0.0.1", "", msgspec.json.encode(body))


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
    people: list[dict[str, object]], draw: random.Random, now: datetime
) -> Iterator[dict[str, object]]:
    for number, person in enumerate(people):
        eagerness = draw.paretovariate(1.6)
        for day in range(DAYS):
            weekend = (now - timedelta(days=day)).weekday() >= 5
            if draw.random() > min(0.75, 0.09 * eagerness) * (0.6 if weekend else 1.0):
                continue
            start = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=day)
            start += timedelta(seconds=draw.triangular(6 * 3600, 23 * 3600, 15 * 3600))
            yield from _visit(str(person["identity"]), f"{number}-{day}", start, draw, now)


def _visit(
    identity: str, visit: str, start: datetime, draw: random.Random, now: datetime
) -> Iterator[dict[str, object]]:
    moment, basket = start, 0.0
    campaign = draw.choice(CAMPAIGNS)
    steps = ["Session Started", *["Product Viewed"] * draw.randint(1, 5)]
    if draw.random() < 0.45:
        steps += ["Added to Cart"] * draw.randint(1, 3)
        steps += ["Checkout Started"] if draw.random() < 0.7 else []
        steps += ["Order Completed"] if "Checkout Started" in steps and draw.random() < 0.65 else []
    for index, step in enumerate(steps):
        moment += timedelta(seconds=draw.expovariate(1 / 45))
        product, price = draw.choice(PRODUCTS)
        properties: dict[str, object] = {"campaign": campaign} if campaign else {}
        if step in ("Product Viewed", "Added to Cart"):
            properties |= {"product": product, "price": price}
        basket += price if step == "Added to Cart" else 0
        if step in ("Checkout Started", "Order Completed"):
            properties["total"] = round(basket, 2)
        if moment < now:
            yield {
                "identity": identity,
                "event": step,
                "timestamp": moment.astimezone(UTC).isoformat(timespec="milliseconds"),
                "properties": properties,
                "idempotency_key": f"demo-{visit}-{index}",
            }

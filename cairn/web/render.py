"""How pages become HTML: one template environment, the words for numbers and times, and the small line charts.

Templates are autoescaped and strict: a name that is not there is an error, not an empty place.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from cairn.clock import from_ms

HERE = Path(__file__).parent
STATIC = HERE / "static"
NARROW_SPACE = "\u202f"


@cache
def templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        breakable=breakable,
        cut=cut,
        number=number,
        share=share,
        ago=ago,
        day=day,
        clock=clock_time,
        full=full_time,
        iso=iso_time,
    )
    environment.globals.update(
        static=static_url, query=query, spark=spark, spark_ends=spark_ends, bars=bars, count=count
    )
    return environment


@cache
def static_url(name: str) -> str:
    """The address of a static file, with its content in it so that browsers may keep it without asking again."""
    path = STATIC / name
    version = blake2b(path.read_bytes(), digest_size=6).hexdigest() if path.is_file() else "missing"
    return f"/static/{quote(name)}?v={version}"


def query(values: Mapping[str, Any]) -> str:  # Any: whatever prints as the value
    """`?a=b` of those that are not empty; nothing when all are."""
    kept = {key: str(value) for key, value in values.items() if value not in ("", None)}
    return f"?{urlencode(kept)}" if kept else ""


def cut(text: str, longest: int) -> str:
    """Long text's beginning, and how much was left out: senders decide how long a value is."""
    return text if len(text) <= longest else f"{text[:longest]}… and {len(text) - longest:,} more characters"


def breakable(text: str) -> Markup:
    """A key that a narrow column breaks between its words, not within them."""
    return Markup(str(escape(text)).replace("_", "_<wbr>").replace(".", ".<wbr>"))


def escaped_length(text: str) -> int:
    """How long it is as HTML: a quote takes five characters, and others more bytes than one."""
    return len(escape(text).encode(errors="replace"))


def number(value: float) -> str:
    """1,234 or 12.5: at most one decimal, with thousands separated."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def count(value: int, singular: str, many: str = "") -> str:
    """`1 user`, `2,310 users`, `no users`."""
    if value == 0:
        return f"no {many or singular + 's'}"
    return f"{number(value)} {singular if value == 1 else many or singular + 's'}"


def share(value: float) -> str:
    return f"{number(value)}{NARROW_SPACE}%"


def moment(value: int | datetime, at: tzinfo) -> datetime:
    return (from_ms(value) if isinstance(value, int) else value).astimezone(at)


def ago(value: int | datetime, now: datetime) -> str:
    """`just now`, `4 min ago`, `3 h ago`, `2 days ago`; of the future `in 4 min`."""
    then = from_ms(value) if isinstance(value, int) else value
    seconds = (now - then).total_seconds()
    text = _span(abs(seconds))
    if not text:
        return "just now"
    return f"{text} ago" if seconds > 0 else f"in {text}"


def _span(seconds: float) -> str:
    if seconds < 45:
        return ""
    if seconds < 5400:
        return f"{max(1, round(seconds / 60))} min"
    if seconds < 36 * 3600:
        return f"{round(seconds / 3600)} h"
    return f"{round(seconds / 86400)} days"


def day(value: int | datetime, at: tzinfo, now: datetime) -> str:
    """`Today`, `Yesterday`, `Tuesday 3 November`, with the year when it is another one."""
    then, today = moment(value, at), now.astimezone(at)
    apart = today.date() - then.date()
    if apart in (timedelta(0), timedelta(days=1)):
        return "Yesterday" if apart else "Today"
    year = "" if then.year == today.year else f" {then.year}"
    return f"{then:%A} {then.day} {then:%B}{year}"


def clock_time(value: int | datetime, at: tzinfo) -> str:
    return f"{moment(value, at):%H:%M:%S}"


def iso_time(value: int | datetime) -> str:
    """For machines: `2026-11-03T10:42:07.000+00:00`."""
    return moment(value, UTC).isoformat(timespec="milliseconds")


def full_time(value: int | datetime, at: tzinfo) -> str:
    """`3 Nov 2026, 10:42:07`."""
    then = moment(value, at)
    return f"{then.day} {then:%b %Y, %H:%M:%S}"


def spark(values: Sequence[float], *, width: int = 120, height: int = 36) -> str:
    """The path of a small line chart. Its axis starts at zero, so a fall looks as deep as it is."""
    if not values:
        return ""
    top = max(values) or 1
    step = width / max(1, len(values) - 1)
    low, span = height - 3, height - 6  # the line's own width stays inside
    points = [f"{index * step:.1f} {low - value / top * span:.1f}" for index, value in enumerate(values)]
    return "M" + " ".join(points)


def spark_ends(values: Sequence[float], *, width: int = 120, height: int = 36) -> tuple[str, str]:
    """The same in two: the days that are over, and the way to the last one, which is still running."""
    line = spark(values, width=width, height=height)
    points = line.removeprefix("M").split(" ")
    pairs = [" ".join(points[at : at + 2]) for at in range(0, len(points), 2)] if line else []
    return ("M" + " ".join(pairs[:-1]), "M" + " ".join(pairs[-2:])) if len(pairs) > 1 else (line, "")


def bars(
    values: Sequence[float], *, width: int = 600, height: int = 120
) -> list[tuple[float, float, float, float]]:
    """A bar chart from zero. Shape: (x, y, width, height) for each value."""
    unit, step = height / (max(values, default=0) or 1), width / max(1, len(values))
    return [
        (
            round(index * step + 1, 1),
            round(height - value * unit, 1),
            round(step - 2, 1),
            round(value * unit, 1),
        )
        for index, value in enumerate(values)
    ]

"""The sites whose pages people viewed, as events tell. They prove nothing: whoever has the app id can send any host."""

from datetime import datetime, timedelta

from msgspec import Struct

from cairn.clock import to_ms
from cairn.event import Kind
from cairn.store.schema import DATABASE
from cairn.store.store import Store

MOST_PAGES = 10  # of one site
MOST_ROWS = 500
DEMO = "demo"  # the library of the demo's generated history, whose hosts do not exist
SCRIPT = "web"  # the library of the browser script


class SeenPage(Struct, frozen=True):
    path: str
    views: int
    users: int


def sites_seen(
    store: Store, environment_id: int, *, now: datetime, days: int = 30
) -> dict[str, list[SeenPage]]:
    """By host, those that the script ran on in sessions first, then by users; each with its pages viewed most."""
    rows = store.query(
        environment_id,
        f"""
        SELECT host, page, views, users FROM (
            SELECT toString(domain) AS host, toString(path) AS page, count() AS views, uniq(user_id) AS users,
                   max(library = {{script:String}} AND session_id != 0) AS by_script
            FROM {DATABASE}.events
            WHERE environment_id = {{environment:UInt32}} AND kind = {{pageview:String}} AND domain != ''
              AND library != {{demo:String}}
              AND toDate(time) >= toDate(fromUnixTimestamp64Milli({{from:Int64}}, 'UTC'))
            GROUP BY host, page
            ORDER BY by_script DESC, users DESC, views DESC, host, page
            LIMIT {MOST_PAGES} BY host)
        LIMIT {MOST_ROWS}""",
        {
            "pageview": Kind.PAGEVIEW, "script": SCRIPT, "demo": DEMO, "from": to_ms(now - timedelta(days=days)),
        },
    )  # fmt: skip
    found: dict[str, list[SeenPage]] = {}
    for host, path, views, users in rows:
        found.setdefault(str(host), []).append(SeenPage(str(path), int(views), int(users)))
    return found

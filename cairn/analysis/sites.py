"""The sites whose pages people viewed, as events tell. They prove nothing: anyone with the app id can send any host."""

from datetime import datetime

from msgspec import Struct

from cairn.analysis.query.plan import Plan, events
from cairn.query.behaviour import PAGEVIEW
from cairn.query.scope import BOUNDED_GROUPS, Scope
from cairn.query.time_range import month_before
from cairn.store.store import Row

MOST_PAGES = 10  # of one site
MOST_ROWS = 500
DEMO = "demo"  # the library of the demo's generated history, whose hosts do not exist
SCRIPT = "web"  # the library of the browser script


class SeenPage(Struct, frozen=True):
    path: str
    views: int
    users: int


class SitesSeen(Struct, frozen=True):
    """By host, those that the script ran on in sessions first, then by users; each with its pages viewed most."""

    now: datetime

    def plan(self) -> Plan:
        return Plan(month_before(self.now))

    def select(self, plan: Plan, scope: Scope) -> str:
        script, demo = scope.bindings.text(SCRIPT), scope.bindings.text(DEMO)
        pageviews = events(plan, scope, PAGEVIEW, "domain != ''", f"library != {demo}")
        return f"""
            SELECT host, page, views, users FROM (
                SELECT toString(domain) AS host, toString(path) AS page, count() AS views, uniq(user_id) AS users,
                       max(library = {script} AND session_id != 0) AS by_script
                FROM {pageviews}
                GROUP BY host, page
                ORDER BY by_script DESC, users DESC, views DESC, host, page
                LIMIT {MOST_PAGES} BY host)
            LIMIT {MOST_ROWS} {BOUNDED_GROUPS}
        """

    def answer(self, rows: list[Row]) -> dict[str, list[SeenPage]]:
        pages: dict[str, list[SeenPage]] = {}
        for host, path, views, users in rows:
            pages.setdefault(str(host), []).append(SeenPage(str(path), int(views), int(users)))
        return pages

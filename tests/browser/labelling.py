"""A served Cairn, pages elsewhere that load its script, and a person with the labeller over them."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx2
import sqlalchemy as sa
from playwright.sync_api import BrowserContext, Locator, Page, expect

from cairn.clock import utc_now
from cairn.db.engine import open_engine
from cairn.db.tables import environments
from cairn.ids import key_hash
from cairn.web.label_link import label_link
from cairn.workspace.label_grant import open_grant
from cairn.workspace.label_site import origin_of
from cairn.workspace.member import list_members
from cairn.workspace.session import start_session
from tests.browser.site import Site
from tests.databases import database_url
from tests.patience import WAIT_MS
from tests.served import Served

# Tests look into the labeller; pages cannot, its root is closed.
OPEN_ROOT = """
  const attach = Element.prototype.attachShadow
  Element.prototype.attachShadow = function (init) {
    return attach.call(this, this.localName === 'cairn-labeller' ? { ...init, mode: 'open' } : init)
  }
"""


@dataclass
class Labelling:
    cairn: Served
    site: Site
    context: BrowserContext

    @property
    def app_id(self) -> str:
        """Of the environment that the demo leaves empty: here every event is a test's own."""
        return str(self.cairn.demo["environments"]["development"]["app_id"])

    def grant(self, address: str = "", *, minutes: float = 30) -> str:
        """The code of a link to a page, as the demo's owner opens it in a session of its own."""
        engine, site = (
            open_engine(database_url(self.cairn.data_dir)),
            origin_of(address or self.site.url("/")),
        )
        now = utc_now() + timedelta(minutes=minutes - 30)
        with engine.begin() as connection:
            own = connection.execute(
                sa.select(environments).where(environments.c.app_id == self.app_id)
            ).one()
            member = list_members(connection, own.workspace_id)[0]
            session, _ = start_session(connection, member, now)
            code = open_grant(
                connection,
                member,
                session_hash=key_hash(session),
                environment_id=own.id,
                site=site,
                home=self.cairn.url,
                now=now,
            )
        engine.dispose()
        return code

    def put(
        self,
        body: str,
        *,
        path: str = "/",
        before: str = "",
        policy: str = "",
        neutral: bool = True,
        app_id: str = "",
        nonce: str = "",
    ) -> str:
        """A page of another origin with our script and no code of its own in it; its address."""
        app_id = app_id or self.app_id
        name = f"/k/{app_id}.js" if neutral else f"/js/heap-{app_id}.js"
        early = f"/early{len(self.site.pages)}.js"
        self.site.pages[early] = (before, {})
        html = (
            f"<!doctype html><meta charset=utf-8><title>Page</title><script src='{early}' nonce='{nonce}'></script>"
            f"<script async src='{self.cairn.url}{name}' nonce='{nonce}'></script><body>{body}"
        )
        self.site.pages[path] = (html, {"content-security-policy": policy} if policy else {})
        return self.site.url(path)

    def open(self, address: str, token: str | None = None, *, wait: bool = True) -> Page:
        page = self.context.new_page()
        page.goto(label_link(address, self.grant(address) if token is None else token))
        if wait:
            expect(self.bar(page)).to_be_visible(timeout=WAIT_MS)
        return page

    def bar(self, page: Page) -> Locator:
        return page.locator("cairn-labeller .bar")

    def panel(self, page: Page) -> Locator:
        return page.locator("cairn-labeller .panel")

    def point(self, page: Page, selector: str, *, at: tuple[float, float] = (4, 4)) -> None:
        """With the mouse, as a person: over whatever lies on top of the element."""
        page.locator(selector).first.scroll_into_view_if_needed()
        box = page.locator(selector).first.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + at[0], box["y"] + at[1])

    def pick(self, page: Page, selector: str, *, at: tuple[float, float] = (4, 4)) -> Locator:
        self.point(page, selector, at=at)
        page.mouse.down()
        page.mouse.up()
        expect(self.panel(page)).to_be_visible(timeout=WAIT_MS)
        return self.panel(page)

    def proposals(self, page: Page) -> list[tuple[str, str, int]]:
        """Selector, text and number of past events, once they are counted."""
        ways = self.panel(page).locator(".way")
        expect(self.panel(page).locator(".wait")).to_have_count(0, timeout=WAIT_MS)
        found = []
        for way in ways.all():
            code = way.locator("code")
            counted = re.fullmatch(r"([\d,]+) events?", way.locator("b").inner_text())
            assert counted
            selector = code.get_attribute("data-selector") or ""
            found.append((selector, code.get_attribute("data-text") or "", int(counted[1].replace(",", ""))))
        return found

    def ask(self, path: str, body: Any = None) -> Any:
        """Cairn's API, as the workspace's own program."""
        headers = {"Authorization": f"Bearer {self.cairn.demo['api_token']}"}
        method = "GET" if body is None else "POST"
        answer = httpx2.request(
            method, f"{self.cairn.url}/api/v1{path}", headers=headers, json=body, timeout=20
        )
        answer.raise_for_status()
        return answer.json()

    def count(self, kind: str, selector: str = "", **tests: str) -> int:
        """How many such events Cairn has."""
        asked = [{"key": key, "operator": "is", "value": value} for key, value in tests.items()]
        definition = {"parts": [{"kind": kind, "selector": selector, "tests": asked}]}
        return int(
            self.ask("/defined-events/test?environment=development", {"definition": definition})["events"]
        )

"""The reference story by mouse: one Cairn has the segments, another the flags, and the Node SDK decides on the second.

Source: the integration document's steps 1 to 7, with the vendors' words on the pages.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.patience import WAIT_MS, eventually
from tests.prepared import Demos
from tests.served import Served

pytestmark = pytest.mark.slow

CLIENTS = Path(__file__).parents[1] / "clients"
HERE = "/env/production"
SEGMENT = "Premium users"


class Pair:
    """Two Cairns on one machine: cookies are kept by the name of a host, so each has a name of its own."""

    def __init__(self, analytics: Served, flags: Served) -> None:
        self.analytics, self.flags = analytics, flags
        self.segments_at = analytics.url
        self.flags_at = flags.url.replace("127.0.0.1", "localhost")

    def look(self, page: Page, name: str) -> None:
        """Something worth a picture is on the page; the documentation's are taken here."""

    def become(self, identity: str, plan: str) -> None:
        answer = httpx2.post(
            f"{self.analytics.url}/api/add_user_properties",
            json={
                "app_id": self.analytics.production["app_id"],
                "identity": identity,
                "properties": {"plan": plan},
            },
        )
        assert answer.status_code == 200

    def ask(self, flag: str, *values: dict[str, str]) -> list[bool]:
        """What the Node SDK says on the flags side, for several sets of custom variables."""
        asked = {
            "url": self.flags.url,
            "accountId": str(self.flags.demo["account_id"]),
            "sdkKey": self.flags.production["sdk_key"],
            "key": flag,
            "contexts": [{"id": f"visitor{n}", "customVariables": value} for n, value in enumerate(values)],
            "until": None,
        }
        done = subprocess.run(
            ["node", CLIENTS / "story" / "ask_flag.js", json.dumps(asked)],
            capture_output=True,
            text=True,
            cwd=CLIENTS,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return [answer["enabled"] for answer in json.loads(done.stdout.splitlines()[-1])["answers"]]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, demos: Demos) -> Iterator[Pair]:
    folder, networks = tmp_path_factory.mktemp("pair"), ("--outbound-networks", "127.0.0.0/8,::1")
    analytics = demos.served(folder / "analytics", *networks).start()
    flags = demos.served(folder / "flags", *networks, "--poll-interval-ms", "1000").start()
    yield Pair(analytics, flags)
    assert (analytics.stop(), flags.stop()) == (0, 0)


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(WAIT_MS)
    yield context
    context.close()


def sign_in(page: Page, served: Served) -> None:
    page.get_by_label("E-mail").fill(served.demo["email"])
    page.get_by_label("Password").fill(served.demo["password"])
    page.get_by_role("button", name="Sign in").click()


def connect(pair: Pair, context: BrowserContext, page: Page) -> Page:
    """Steps 1 and 2: enable, save, authenticate in the window that opens. Returns that window."""
    page.goto(f"{pair.flags_at}/sign-in")
    sign_in(page, pair.flags)
    page.get_by_role("link", name="Heap", exact=True).click()
    page.get_by_role("button", name="Enable Heap").click()
    page.get_by_label("Enable use of Heap segment for visitor targeting").check()
    page.get_by_label("Heap’s address").fill(pair.segments_at)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("button", name="Authenticate Wingify on Heap")).to_be_visible()
    pair.look(page, "heap-config")
    with context.expect_page() as opened:
        page.get_by_role("button", name="Authenticate Wingify on Heap").click()
    window = opened.value
    sign_in(window, pair.analytics)
    expect(window.get_by_text("the identity of each identified member")).to_be_visible()
    window.get_by_label("Environment").select_option(label="Demo shop · Production")
    pair.look(window, "heap-consent")
    window.get_by_role("button", name="Allow").click()
    expect(window.get_by_text("Connected.")).to_be_visible()
    expect(page.get_by_text("Heap environment")).to_be_visible()  # the first tab follows by itself
    return window


def recur(pair: Pair, page: Page) -> None:
    """Step 3: the directory names the connection; the segment is synced from its own page."""
    page.goto(f"{pair.segments_at}{HERE}/directory")
    expect(page.get_by_role("row", name="Wingify Cohort Sync")).to_contain_text("ready")
    pair.look(page, "directory")
    page.get_by_role("link", name="Segments", exact=True).click()
    page.get_by_role("link", name=SEGMENT).click()
    page.get_by_text("Enable", exact=True).click()
    pair.look(page, "segment-enable")
    page.get_by_role("button", name="Enable Recurring Sync").click()
    synced = page.get_by_role("article", name="Sync to Wingify Cohort Sync")
    expect(synced).to_contain_text(re.compile(r"[1-9]\d* acknowledged"))
    pair.look(page, "segment-synced")


def add_audience(pair: Pair, page: Page) -> None:
    """Step 4."""
    page.goto(f"{pair.flags_at}{HERE}/heap")
    page.get_by_role("link", name="Add segments from Heap").first.click()
    page.get_by_label(SEGMENT).check()
    pair.look(page, "heap-add")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("row", name=SEGMENT)).to_contain_text("synced")
    pair.look(page, "heap-audiences")


def make_flag(pair: Pair, page: Page) -> None:
    """Step 6."""
    page.goto(f"{pair.flags_at}{HERE}/flags/new")
    page.get_by_label("Name", exact=True).fill("From Heap")
    page.get_by_label("Key", exact=True).fill("from-heap")
    page.get_by_role("button", name="Create the flag").click()
    page.get_by_role("link", name="Add the first rule").click()
    page.get_by_label("Custom variable").fill("your_custom_variable")
    page.get_by_label("Segment", exact=True).select_option(label=f"{SEGMENT} (from Heap)")
    page.get_by_label("Traffic in percent").fill("100")
    pair.look(page, "heap-rule")
    page.get_by_role("button", name="Add the rule").click()
    page.get_by_role("switch", name="On in Production").check()
    expect(page.locator(".head")).to_contain_text("on in Production since")


def test_a_segment_of_one_cairn_decides_a_flag_of_another(pair: Pair, context: BrowserContext) -> None:
    errors: list[Any] = []
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(error))
    pair.become("dana@acme.test", "premium")
    window = connect(pair, context, page)
    window.on("pageerror", lambda error: errors.append(error))
    recur(pair, window)
    add_audience(pair, page)
    make_flag(pair, page)
    member = {"your_custom_variable": "dana@acme.test"}
    eventually(lambda: pair.ask("from-heap", member) == [True], "the SDK to say yes to a member")
    others = ({"your_custom_variable": "nobody@acme.test"}, {"another_variable": "dana@acme.test"}, {})
    assert pair.ask("from-heap", *others) == [False, False, False]

    pair.become("dana@acme.test", "free")
    pair.become("li@acme.test", "premium")
    answers = ({"your_custom_variable": "dana@acme.test"}, {"your_custom_variable": "li@acme.test"})
    eventually(lambda: pair.ask("from-heap", *answers) == [False, True], "the SDK to follow both")
    assert errors == []

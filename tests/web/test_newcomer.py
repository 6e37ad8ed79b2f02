"""The first hour of somebody new, in a browser: from an empty Cairn to a flag that an SDK gets for a member."""

import http.server
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.patience import WAIT_MS, eventually
from tests.served import Served

pytestmark = pytest.mark.slow

CLIENTS = Path(__file__).parents[1] / "clients"
PASSWORD = "correct horse battery"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *values: object) -> None:
        """Nothing."""


@pytest.fixture
def cairn(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path / "data").start()
    yield served
    assert served.stop() == 0


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(timezone_id="Europe/Berlin")
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    yield context
    context.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder that is served as the newcomer's own site, and its address."""
    folder = tmp_path / "site"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def fill(page: Page, **fields: str) -> None:
    for label, value in fields.items():
        page.get_by_label(label.replace("_", " "), exact=True).first.fill(value)


def answers(page: Page, cairn: Served, flag: str, users: list[str]) -> dict[str, bool]:
    """What Wingify's own client decides with the keys and the variable of the page's snippet."""
    code = page.locator("pre").first.inner_text()
    account, key = re.search(r"accountId: (\d+)", code), re.search(r'sdkKey: "(\w+)"', code)
    variable = re.search(r'customVariables: \{\s*"([\w-]+)"', code)
    assert account and key and variable, code
    script = """
      const { init } = require('vwo-fme-node-sdk')
      const [accountId, sdkKey, url, flag, variable, users] = JSON.parse(process.argv[1])
      init({ accountId, sdkKey, gatewayService: { url }, logger: { level: 'ERROR' }, shouldWaitForTrackingCalls: true })
        .then(async (client) => {
          const found = {}
          for (const id of users) {
            found[id] = (await client.getFlag(flag, { id, customVariables: { [variable]: id } })).isEnabled()
          }
          console.log(JSON.stringify(found))
          process.exit(0)
        })"""
    argument = json.dumps([int(account[1]), key[1], cairn.url, flag, variable[1], users])
    done = subprocess.run(
        ["node", "-e", script, argument], capture_output=True, text=True, timeout=60, check=True, cwd=CLIENTS
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_a_newcomer_gets_from_the_snippet_to_a_flag_for_those_who_clicked(
    cairn: Served, context: BrowserContext, site: tuple[Path, str]
) -> None:
    folder, address = site
    page = context.new_page()
    page.goto(cairn.url)
    fill(page, Your_name="Ann", Workspace="Shop")
    page.get_by_label("E-mail").fill("ann@shop.test")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create the workspace").click()

    snippet = page.locator("#first pre").inner_text()
    (folder / "index.html").write_text(
        f'<!doctype html><title>Shop</title>{snippet}<h1>Shop</h1><button id="buy">Buy now</button>'
    )
    shop = context.new_page()
    shop.goto(address)
    expect(page.locator("#first")).to_contain_text("Your first event is here")
    expect(page.get_by_text("so far").first).to_be_visible()
    expect(page.locator(".stat", has_text="Users today").locator("b")).to_have_text("1")
    shop.get_by_role("button", name="Buy now").click()
    shop.reload()  # leaving sends what waits
    expect(page.locator("#first")).to_contain_text("Your click is here")
    page.get_by_role("link", name="Name this").click()
    expect(page.locator("#tried")).to_contain_text("1 event by 1 user")
    fill(page, Name="Buy")
    page.get_by_role("button", name="Define the event").click()
    expect(page.get_by_role("heading", name="Buy", level=1)).to_be_visible()

    page.goto(f"{cairn.url}/env/production/segments/new")
    expect(page.locator("#counted")).to_contain_text("Say who is in")
    fill(page, Name="Buyers", Key="buyers")
    row = page.locator("#g0\\.r0")
    row.get_by_label("What").select_option("did")
    row.get_by_label("Kind").select_option(label="Buy")
    expect(page.locator("#counted")).to_contain_text("1 user in Production now, 0 of them identified")
    page.get_by_role("button", name="Create the segment").click()
    expect(page.locator(".stat", has_text="Users now").locator("b")).to_have_text(
        "1"
    )  # without loading it again
    shop.evaluate("cairn.identify('bob@shop.test'); cairn.addUserProperties({ plan: 'pro' })")

    page.goto(f"{cairn.url}/env/production/flags/new")
    fill(page, Key="new-checkout")
    page.get_by_role("button", name="Create the flag").click()
    page.get_by_role("link", name="Add the first rule").click()
    page.get_by_label("Segment", exact=True).select_option(label="Buyers (buyers)")
    page.get_by_role("button", name="Add the rule").click()
    page.get_by_role("switch", name="On in Production").check()
    expect(page.get_by_role("status").filter(has_text="on in Production since")).to_be_visible()
    page.get_by_role("link", name="SDK", exact=True).click()
    users = ["bob@shop.test", "eve@shop.test"]
    eventually(
        lambda: answers(page, cairn, "new-checkout", users) == {"bob@shop.test": True, "eve@shop.test": False}
    )

    page.get_by_role("link", name="Rules", exact=True).click()
    eventually(lambda: page.reload() and page.get_by_text("Last shown to somebody").is_visible())
    history = page.locator("#history")
    expect(history).to_contain_text("switched on in Production")
    expect(history).to_contain_text(re.compile(r"rule rule-1\s+created"))
    page.goto(f"{cairn.url}/env/production/users?q=bob")
    page.locator("tbody td a").first.click()
    line = page.locator(".days")
    expect(line).to_contain_text("Saw flag new-checkout, variation On")
    expect(line).to_contain_text("Was identified as bob@shop.test, by the browser")
    expect(line).to_contain_text("Set plan to pro, by the browser")
    expect(line).to_contain_text("Was seen for the first time, by the browser")
    expect(line).not_to_contain_text("no events")

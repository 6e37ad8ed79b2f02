"""A partner app in another stack, written from the contract alone, against a served Cairn: consent in a real browser,
metadata, and the segment's members by signed webhooks.
"""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.served import Served
from tests.web.pages import sign_in

APP = Path(__file__).parents[1] / "clients" / "partner-app.mjs"
WAIT_S = 120.0  # a machine that runs everything else too takes long


@dataclass
class PartnerApp:
    process: subprocess.Popen[str]
    url: str

    def configure(self, heap: str, secrets: dict[str, str]) -> None:
        self._say({"heap": heap, **secrets})

    def _say(self, values: dict[str, str]) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(values) + "\n")
        self.process.stdin.flush()
        assert json.loads(self.process.stdout.readline()) == {"configured": True}

    @property
    def customers(self) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = httpx2.get(f"{self.url}/state").json()
        return answer

    def segment(self, name: str) -> dict[str, Any]:
        known = [segment for customer in self.customers for segment in customer["segments"].values()]
        return next((segment for segment in known if segment["name"] == name), {"members": []})


@dataclass
class Story:
    served: Served
    app: PartnerApp
    tab: Page
    segment_id: str
    segment_name: str
    client_id: str

    @property
    def here(self) -> str:
        return f"{self.served.url}/env/production"


def wait_for(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@pytest.fixture(scope="module")
def app() -> Iterator[PartnerApp]:
    process = subprocess.Popen(["node", APP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    yield PartnerApp(process, f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}")
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


@pytest.fixture(scope="module")
def story(chromium: Browser, app: PartnerApp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    options = ("--outbound-networks", "127.0.0.0/8")
    served = Served(tmp_path_factory.mktemp("partner") / "data", options=options).make_demo().start()
    context = chromium.new_context()
    context.set_default_timeout(WAIT_S * 1000)
    expect.set_options(timeout=WAIT_S * 1000)
    tab = context.new_page()
    sign_in(tab, served)
    secrets = register(tab, served, app)
    app.configure(served.url, secrets)
    segment_id = str(served.demo["segments"]["heap_premium_users"])
    yield Story(served, app, tab, segment_id, "Premium users", secrets["clientId"])
    context.close()
    assert served.stop() == 0


def register(tab: Page, served: Served, app: PartnerApp) -> dict[str, str]:
    """By mouse; the secrets are those the page shows once."""
    tab.goto(f"{served.url}/env/production/partner-apps")
    tab.get_by_label("Name", exact=True).fill("Mailer")
    tab.get_by_label("Redirect addresses").fill(f"{app.url}/callback")
    tab.get_by_label("Webhook address").fill(f"{app.url}/webhook")
    tab.get_by_role("button", name="Register").click()
    names = {
        "Copy the client secret": "clientSecret",
        "Copy the webhook secret": "webhookSecret",
        "Copy the client id": "clientId",
    }
    return {
        name: tab.get_by_label(label, exact=True).get_attribute("data-copy") or ""
        for label, name in names.items()
    }


def connect(story: Story, *, environment: str = "Production") -> None:
    story.tab.goto(f"{story.app.url}/connect")
    expect(story.tab.get_by_role("heading", level=1)).to_have_text("Allow Mailer to receive segments?")
    select = story.tab.get_by_label("Environment")
    label = select.locator("option", has_text=environment).inner_text()
    select.select_option(label=label.strip())
    story.tab.get_by_role("button", name="Allow").click()
    expect(story.tab.get_by_role("heading", level=1)).to_have_text("Connected")


def identified(story: Story) -> list[str]:
    """Who is in the segment by the API, as far as somebody knows their identity."""
    api = httpx2.Client(
        base_url=f"{story.served.url}/api/v1",
        headers={"Authorization": f"Bearer {story.served.demo['api_token']}"},
        timeout=WAIT_S,
    )
    found: list[str] = []
    after: str | None = ""
    with api:
        while after is not None:
            query = {"environment": "production", "limit": 200, "after": after}
            page = api.get(f"/segments/{story.segment_id}/members", params=query).json()
            found += [member["identity"] for member in page["members"] if member["identity"]]
            after = page["next"]
    return sorted(found)


def test_a_window_in_a_frame_shows_nothing_to_click(story: Story) -> None:
    story.tab.goto(f"{story.app.url}/framed")
    frame = story.tab.frame(name="inner")
    assert frame is not None
    expect(story.tab.get_by_role("heading", name="Allow Mailer")).to_have_count(0)
    wait_for(lambda: "chrome-error" in frame.url, "the browser refuses to show it")


def test_a_window_that_was_denied_leads_back_to_the_app(story: Story) -> None:
    story.tab.goto(f"{story.app.url}/connect")
    story.tab.get_by_role("button", name="Deny").click()
    expect(story.tab.get_by_role("heading", level=1)).to_have_text("Not connected: access_denied")
    assert story.app.customers == []


def test_the_whole_story_from_consent_to_a_delta(story: Story) -> None:
    connect(story)
    (customer,) = story.app.customers
    assert customer["tokenType"] == "bearer"
    assert customer["metadata"]["id_token"] == customer["idToken"]
    assert customer["metadata"]["environment"]["name"] == "Production"

    tab = story.tab
    tab.goto(f"{story.here}/directory")
    expect(tab.get_by_role("row", name=re.compile("Mailer"))).to_contain_text("ready")

    tab.goto(f"{story.here}/segments/{story.segment_id}")
    card = tab.locator("#integrations")
    card.locator("summary", has_text="Enable").click()
    card.get_by_role("button", name="Enable Recurring Sync").click()
    wait_for(
        lambda: identified(story) == story.app.segment(story.segment_name)["members"] != [],
        "the app has everybody who is identified",
    )
    first = story.app.segment(story.segment_name)
    tab.reload()
    expect(card.get_by_text("synced", exact=True)).to_be_visible()
    expect(card).to_contain_text(f"{len(first['members']):,} acknowledged")

    forget(story, first["members"][0])
    wait_for(
        lambda: first["members"][0] not in story.app.segment(story.segment_name)["members"],
        "who left the segment is removed there",
    )
    delta = story.app.segment(story.segment_name)
    assert set(first["members"]) - set(delta["members"]) == {first["members"][0]}
    assert delta["tasks"] == first["tasks"] + 1, "a delta and not everything anew"


def forget(story: Story, identity: str) -> None:
    """Make somebody leave the segment."""
    body = {
        "app_id": story.served.production["app_id"],
        "identity": identity,
        "properties": {"plan": "none"},
    }
    httpx2.post(f"{story.served.url}/api/add_user_properties", json=body).raise_for_status()


def test_a_segment_is_paused_sampled_and_removed_from_its_page(story: Story) -> None:
    tab = story.tab
    tab.goto(f"{story.here}/segments/{story.segment_id}")
    card = tab.locator("#integrations")
    card.get_by_role("button", name="Send sample segment").click()
    expect(tab.get_by_role("status").first).to_contain_text("A sample is being sent to Mailer")
    card.get_by_role("button", name="Pause").click()
    expect(card.get_by_text("paused", exact=True)).to_be_visible()
    card.get_by_role("button", name="Resume").click()
    expect(card.get_by_role("button", name="Pause")).to_be_visible()
    card.locator("summary", has_text="Remove").click()
    card.get_by_role("button", name="Remove the sync").click()
    wait_for(lambda: story.app.segment(story.segment_name)["members"] == [], "it is told that nobody is in")


def test_a_revoked_app_receives_nothing_and_stands_in_the_directory_as_such(story: Story) -> None:
    tab = story.tab
    tab.goto(f"{story.here}/directory")
    row = tab.get_by_role("row", name=re.compile("Mailer"))
    row.locator("summary", has_text="Revoke").click()
    row.get_by_role("button", name="Revoke the access").click()
    expect(tab.get_by_role("status").first).to_contain_text("Mailer has no access to Production any more")
    expect(row).to_contain_text("revoked")
    (customer,) = story.app.customers
    answer = httpx2.get(
        f"{story.served.url}/api/partner/v1/segments",
        headers={"Authorization": f"Bearer {customer['accessToken']}"},
    )
    assert answer.status_code == 401

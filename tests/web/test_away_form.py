"""A plain form sent while the core is down, through the real edge in a real browser: nothing typed is lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.patience import WAIT_MS
from tests.served import CAIRN, Served
from tests.web.sign_up import fill_sign_up, send_sign_up

pytestmark = pytest.mark.slow

PASSWORD = "correct horse battery"
TYPED = 'Ada’s "new" <b>flag</b> & more'


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Served, Served]]:
    """An edge and a core that are served, and ended, apart."""
    data = tmp_path / "data"
    edge, core = (
        Served(
            data,
            command=[str(CAIRN), "serve", "--data-dir", str(data), "--port", "0", "--json", "--role", role],
        )
        for role in ("edge", "core")
    )
    edge.start()
    core.start()
    yield edge, core
    core.stop()
    assert edge.stop() == 0


@pytest.mark.parametrize("with_scripts", [False, True], ids=["without scripts", "with scripts"])
def test_a_form_sent_while_the_core_is_down_is_sent_again_and_saved(
    pair: tuple[Served, Served], chromium: Browser, with_scripts: bool, tmp_path: Path
) -> None:
    edge, core = pair
    context = chromium.new_context(java_script_enabled=with_scripts)
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    page = context.new_page()
    page.goto(f"{edge.url}/sign-up")
    fill_sign_up(page)
    send_sign_up(page)
    page.goto(f"{edge.url}/env/production/keys")
    page.locator('form[action$="/keys/sources"] input[name=name]').fill(TYPED)
    assert core.stop() == 0
    page.locator('form[action$="/keys/sources"] button').last.click()
    expect(page.get_by_role("heading", name="Cairn’s pages are restarting")).to_be_visible()
    expect(page.get_by_text("nothing of what you typed is lost")).to_be_visible()
    page.get_by_text("What you typed", exact=True).click()
    expect(page.locator("dd", has_text=TYPED)).to_be_visible()
    page.screenshot(path=tmp_path / "away.png")
    page.get_by_role("button", name="Send it again").click()  # too early: it is kept once more
    expect(page.get_by_role("button", name="Send it again")).to_be_visible()
    core.start()
    if with_scripts:
        expect(page.get_by_role("status")).to_have_text("Cairn is back: send it again.")
    page.get_by_role("button", name="Send it again").click()
    expect(page.get_by_text(f"Source {TYPED} is ready")).to_be_visible()
    context.close()


def test_a_password_is_never_shown_again(pair: tuple[Served, Served], chromium: Browser) -> None:
    edge, core = pair
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{edge.url}/sign-up")
    fill_sign_up(page)
    assert core.stop() == 0
    send_sign_up(page)
    expect(page.get_by_text("What you sent was not saved")).to_be_visible()
    assert PASSWORD not in page.content()
    core.start()
    context.close()

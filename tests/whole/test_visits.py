"""What a visit says of itself: who came (a person or a program), and what sent them."""

import pytest

from tests.patience import eventually
from tests.whole.conftest import Whole, number

CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)
DESKTOP_APP = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "WhatsApp/2.2424.0 Chrome/91.0.4472.164 Electron/13.6.6 Safari/537.36"
)


def visit(whole: Whole, *, agent: str = CHROME, referrer: str = "") -> int:
    device = number()
    page = {"id": str(number()), "url": {"domain": "shop.test", "path": "/"}}
    session = {"id": str(number()), "referrer": referrer, "initial_pageview_info": page}
    message = {"env_id": whole.app_id, "user_id": str(device), "id": page["id"], "pageview_info": page}
    whole.capture({**message, "session_info": session, "pageview": {}}, headers={"user-agent": agent})
    return device


def test_a_program_that_declares_itself_is_refused_and_a_persons_app_is_counted(whole: Whole) -> None:
    programs = [visit(whole, agent=f"{CHROME} {name}") for name in ("Chrome-Lighthouse", "DatadogSynthetics")]
    person = visit(whole, agent=DESKTOP_APP)
    assert eventually(lambda: len(whole.events(person))) == 1
    refused = eventually(lambda: [item for item in whole.live(outcome="filtered") if item["reason"] == "bot"])
    assert len(refused) >= len(programs)
    assert [whole.events(program) for program in programs] == [[], []]


@pytest.mark.parametrize(
    ("referrer", "channel"),
    [
        pytest.param("https://accounts.google.com/", "Direct", id="back from signing in"),
        pytest.param(
            "https://docs.google.com/document/d/x", "Referral", id="a search company's other product"
        ),
        pytest.param("https://www.google.com/", "Organic Search", id="search"),
    ],
)
def test_only_search_is_search_and_a_sign_in_sends_nobody(whole: Whole, referrer: str, channel: str) -> None:
    device = visit(whole, referrer=referrer)
    [event] = eventually(lambda: whole.events(device))
    assert event["facts"]["channel"] == channel

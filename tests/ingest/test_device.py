import pytest

from cairn.ingest.device import device_facts, is_bot

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
IPAD = (
    "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/16.6 Mobile/15E148 Safari/604.1"
)
ANDROID = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
DESKTOP_APP = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
HEADLESS = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0 Safari/537.36"


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        pytest.param(CHROME, ("Desktop", "Chrome", "126.0.0", "Windows", "10", ""), id="desktop"),
        pytest.param(IPHONE, ("Mobile", "Mobile Safari", "17.5", "iOS", "17.5", "iPhone"), id="phone"),
        pytest.param(IPAD, ("Tablet", "Mobile Safari", "16.6", "iOS", "16.6", "iPad"), id="tablet"),
        pytest.param(
            f"{ANDROID} Mobile Safari/537.36",
            ("Mobile", "Chrome Mobile", "126.0.0", "Android", "14", "Pixel 8"),
            id="android phone",
        ),
        pytest.param(
            f"{ANDROID} Safari/537.36",
            ("Tablet", "Chrome", "126.0.0", "Android", "14", "Pixel 8"),
            id="an android that is not mobile is a tablet",
        ),
        pytest.param(
            "Mozilla/5.0 (SMART-TV; Linux; Tizen 5.0) AppleWebKit/537.36 Version/5.0 TV Safari/537.36",
            ("TV", "Safari", "5.0", "Tizen", "5.0", "Samsung SMART-TV"),
            id="television",
        ),
        pytest.param("shop-backend/1.0", ("", "", "", "", "", ""), id="no browser"),
        pytest.param("\ud800 (" * 5_000, ("", "", "", "", "", ""), id="rubbish without end"),
    ],
)
def test_what_an_agent_says(agent: str, expected: tuple[str, ...]) -> None:
    names = ("device_type", "browser", "browser_version", "os", "os_version", "device")
    found = device_facts(agent)
    assert tuple(found.get(name, "") for name in names) == expected
    assert "" not in found.values()


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (GOOGLEBOT, True),
        ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", True),
        ("facebookexternalhit/1.1", True),
        ("Mozilla/5.0 AppleWebKit/537.36 (compatible; GPTBot/1.2; +https://openai.com/gptbot)", True),
        ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", True),
        (
            "Mozilla/5.0 (Linux; Android 9; CUBOT X19) AppleWebKit/537.36 Chrome/80 Mobile Safari/537.36",
            False,
        ),
        (CHROME, False),
        (HEADLESS, False),
        ("okhttp/4.9.1", False),
        ("analytics-python/2.2.0", False),
        (f"{CHROME} Chrome-Lighthouse", True),
        (
            "Mozilla/5.0 (Linux; Android 11; moto g power) AppleWebKit/537.36 Chrome/126 Mobile Safari/537.36 PTST/240",
            True,
        ),
        (f"{CHROME} DatadogSynthetics", True),
        (f"{CHROME} (Checkly, https://www.checklyhq.com)", True),
        (f"{CHROME} Playwright/1.40.0", True),
        ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Claude-User/1.0; +x@y.test)", True),
        ("Mozilla/5.0 (compatible; Google-Site-Verification/1.0)", True),
        (f"{IPHONE}; Bytespider", True),
        ("WhatsApp/2.23.20.0 A", True),
        (f"{DESKTOP_APP} WhatsApp/2.2424.0 Chrome/91.0.4472.164 Electron/13.6.6 Safari/537.36", False),
        (f"{DESKTOP_APP} Slack/4.38 Chrome/124.0 Electron/30.0 Safari/537.36", False),
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Silk/126.1 Safari/537.36",
            False,
        ),
        (f"{ANDROID} YJApp-ANDROID jp.co.yahoo.android.yjtop/3.1", False),
        (f"{IPHONE} [Pinterest/iOS]", False),
        ("Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2; Trident/6.0)", False),
        ("node-fetch/1.0 (+https://github.com/bitinn/node-fetch)", False),
        ("Java/17.0.1", False),
        ("WordPress/6.4; https://shop.test", False),
        ("\ud800", False),
    ],
)
def test_what_declares_itself_a_program_is_a_bot_and_peoples_apps_are_people(
    agent: str, expected: bool
) -> None:
    assert is_bot(agent) is expected

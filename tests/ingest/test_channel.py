import pytest

from cairn.ingest.channel import CHANNELS, Landing, landing_facts

SHOP = "shop.example"


def landing(
    referrer: str = "", query: str = "", source: str = "", medium: str = "", keyword: str = ""
) -> Landing:
    return Landing(referrer, SHOP, query, (source, medium, "", "", ""), keyword)


@pytest.mark.parametrize(
    ("given", "channel"),
    [
        pytest.param(landing(), "Direct", id="nothing known"),
        pytest.param(landing("https://shop.example/cart"), "Direct", id="its own page"),
        pytest.param(landing("https://www.shop.example/cart"), "Direct", id="its own page, with www"),
        pytest.param(landing("https://blog.shop.example/"), "Direct", id="its own other site"),
        pytest.param(landing("https://notshop.example/"), "Referral", id="a name that only ends alike"),
        pytest.param(landing("https://news.example/post?q=1"), "Referral", id="another site"),
        pytest.param(landing("https://www.google.com/"), "Organic Search", id="search"),
        pytest.param(landing("https://www.google.co.uk/search?q=x"), "Organic Search", id="search abroad"),
        pytest.param(landing("https://duckduckgo.com/"), "Organic Search", id="another search"),
        pytest.param(
            landing("https://google.evil.example/"), "Referral", id="a search engine's name in front"
        ),
        pytest.param(landing("https://notgoogle.com/"), "Referral", id="a search engine's name at the end"),
        pytest.param(
            landing("android-app://com.google.android.googlequicksearchbox/"), "Organic Search", id="app"
        ),
        pytest.param(landing("https://mail.google.com/"), "Email", id="web mail is no search"),
        pytest.param(landing("https://outlook.live.com/"), "Email", id="web mail"),
        pytest.param(landing("https://t.co/abc"), "Organic Social", id="social"),
        pytest.param(
            landing("https://l.facebook.com/l.php?u=x"), "Organic Social", id="social through a gate"
        ),
        pytest.param(landing("https://netflix.com/"), "Referral", id="ends in x.com"),
        pytest.param(landing("https://www.google.com/", "?gclid=a"), "Paid Search", id="click id"),
        pytest.param(landing("", "?msclkid=a"), "Paid Search", id="click id without referrer"),
        pytest.param(landing("https://www.facebook.com/", "?fbclid=a"), "Organic Social", id="on every link"),
        pytest.param(landing("", "?ttclid=a"), "Paid Social", id="social click id"),
        pytest.param(landing("", "?utm_source=google&utm_medium=cpc"), "Paid Search", id="from the query"),
        pytest.param(landing("", "", "google", "cpc"), "Paid Search", id="as sent"),
        pytest.param(landing("", "", "Facebook", "CPC"), "Paid Social", id="any case"),
        pytest.param(landing("", "", "partner", "cpc"), "Paid Other", id="paid elsewhere"),
        pytest.param(landing("", "", "partner", "paid-social"), "Paid Social", id="said in the medium"),
        pytest.param(landing("", "", "partner", "banner"), "Display", id="banner"),
        pytest.param(
            landing("https://www.google.com/", "", "news", "email"), "Email", id="sent before referrer"
        ),
        pytest.param(landing("", "", "newsletter"), "Email", id="a source that is mail"),
        pytest.param(landing("", "", "joe", "affiliate"), "Affiliates", id="affiliate"),
        pytest.param(landing("", "", "linkedin", "social"), "Organic Social", id="social post"),
        pytest.param(landing("", "", "linkedin"), "Organic Social", id="social source alone"),
        pytest.param(landing("", "", "google", "organic"), "Organic Search", id="organic"),
        pytest.param(landing("", "", "joe", "referral"), "Referral", id="referral"),
        pytest.param(landing("", "", "poster", "qr"), "Other Campaign", id="none of these"),
        pytest.param(landing("https://[half"), "Direct", id="a broken referrer"),
        pytest.param(landing("https://accounts.google.com/"), "Direct", id="back from signing in"),
        pytest.param(
            landing("https://login.microsoftonline.com/x/oauth2"), "Direct", id="back from another sign-in"
        ),
        pytest.param(landing("https://acme.okta.com/app/x"), "Direct", id="back from a company's sign-in"),
        pytest.param(
            landing("https://sso.acme.example/saml"), "Direct", id="back from a sign-in by its name"
        ),
        pytest.param(landing("https://appleid.apple.com/auth"), "Direct", id="back from a phone's sign-in"),
        pytest.param(
            landing("https://www.facebook.com/v19.0/dialog/oauth?x=1"),
            "Direct",
            id="back from a social sign-in",
        ),
        pytest.param(
            landing("https://github.com/login/oauth/authorize"), "Direct", id="back from a forge's sign-in"
        ),
        pytest.param(landing("https://github.com/acme/login"), "Referral", id="a page about signing in"),
        pytest.param(landing("https://id.wikipedia.example/"), "Referral", id="a country, not an identity"),
        pytest.param(landing("https://idea.example/"), "Referral", id="a name that only begins alike"),
        pytest.param(
            landing("https://accounts.google.com/", "?gclid=a"),
            "Paid Search",
            id="an advertisement before it",
        ),
        pytest.param(
            landing("https://docs.google.com/document/d/x"), "Referral", id="a search company's documents"
        ),
        pytest.param(landing("https://news.google.com/"), "Referral", id="a search company's news"),
        pytest.param(
            landing("https://search.google.com/search-console"), "Referral", id="a console for site owners"
        ),
        pytest.param(landing("https://news.yahoo.com/a"), "Referral", id="a portal's news"),
        pytest.param(landing("https://blog.naver.com/a"), "Referral", id="a search company's blogs"),
        pytest.param(landing("https://images.google.de/"), "Organic Search", id="search for pictures"),
        pytest.param(
            landing("https://uk.search.yahoo.com/search?p=x"), "Organic Search", id="search of a country"
        ),
        pytest.param(landing("https://m.search.naver.com/search"), "Organic Search", id="search on a phone"),
        pytest.param(landing("https://search.brave.com/"), "Organic Search", id="a host named search"),
        pytest.param(landing("https://ya.ru/"), "Organic Search", id="a short name"),
        pytest.param(landing("news.example/x"), "Referral", id="without scheme"),
    ],
)
def test_the_channel(given: Landing, channel: str) -> None:
    found = landing_facts(given)["channel"]
    assert found == channel
    assert found in CHANNELS


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(
            landing("https://www.google.com/search?q=red+shoes"), {"search_keyword": "red shoes"}, id="q"
        ),
        pytest.param(landing("https://search.yahoo.com/?p=shoes"), {"search_keyword": "shoes"}, id="p"),
        pytest.param(landing("https://www.google.com/?q=a", keyword="b"), {"search_keyword": "b"}, id="sent"),
        pytest.param(landing("https://news.example/?q=a"), {}, id="no search engine"),
        pytest.param(landing("https://drive.google.com/?q=a"), {}, id="a search company's other product"),
        pytest.param(
            landing(
                "", "?utm_source=a&UTM_Medium=b%20c&utm_campaign=d&utm_term=e&utm_content=f&utm_source=z"
            ),
            dict(utm_source="a", utm_medium="b c", utm_campaign="d", utm_term="e", utm_content="f"),
            id="utm of the query",
        ),
        pytest.param(
            landing("", "?utm_source=a&utm_term=b", "x"), {"utm_source": "x"}, id="sent ones count alone"
        ),
        pytest.param(landing("", "&&==&%ff=%ff&utm_term="), {}, id="a broken query"),
    ],
)
def test_words_and_campaign(given: Landing, expected: dict[str, str]) -> None:
    found = dict(landing_facts(given))
    del found["channel"]
    assert found == expected

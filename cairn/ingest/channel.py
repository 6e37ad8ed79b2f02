"""The traffic source of a session: search words, campaign and channel, from its referrer and landing page. Pure.

Heap derives the channel too but does not publish its rules; these are the ones analysts know from elsewhere. The
sender's own words (utm_*) count before the referrer, and money before anything else.
"""

import re
from functools import lru_cache
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct

PAID_SEARCH, PAID_SOCIAL, DISPLAY, PAID_OTHER = "Paid Search", "Paid Social", "Display", "Paid Other"
EMAIL, AFFILIATES, ORGANIC_SOCIAL, ORGANIC_SEARCH = "Email", "Affiliates", "Organic Social", "Organic Search"
REFERRAL, OTHER_CAMPAIGN, DIRECT = "Referral", "Other Campaign", "Direct"
CHANNELS = (
    PAID_SEARCH,
    PAID_SOCIAL,
    DISPLAY,
    PAID_OTHER,
    EMAIL,
    AFFILIATES,
    ORGANIC_SOCIAL,
    ORGANIC_SEARCH,
    REFERRAL,
    OTHER_CAMPAIGN,
    DIRECT,
)

UTM = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
_KEPT = 8_192  # landings
_SEARCH_CLICKS = frozenset(
    ("gclid", "gbraid", "wbraid", "msclkid", "yclid")
)  # only advertisements carry these
_SOCIAL_CLICKS = frozenset(("ttclid", "li_fat_id", "twclid", "rdt_cid", "epik", "sccid"))
_DISPLAY_CLICKS = frozenset(("dclid",))
_KEYWORD_PARAMETERS = ("q", "query", "p", "text", "wd", "word")

# The hosts that answer searches. A search company's other products (documents, maps, news, shops) refer like any site.
_SEARCH = re.compile(
    r"^((m|wap|images?|global|cn|html|lite|safe|start|noai|duck)\.|([a-z0-9-]+\.)*search\.)?"
    r"(google|bing|yahoo|duckduckgo|yandex|ya|baidu|ecosia|qwant|startpage|naver|seznam|ask|aol|sogou|kagi)"
    r"(\.[a-z]{2,3}){1,2}$"
    r"|^search\.|(^|\.)googlequicksearchbox$"
)
_NO_SEARCH = re.compile(r"^search\.google\.com$")  # the console for site owners
# Where people sign in. A user who comes back from there was on the site before and was not referred.
_SIGN_IN = re.compile(
    r"^(accounts?|auth|idp|login|logon|oauth2?|openid|passport|secure-login|signin|sign-in|sso)\d*\."
    r"|^id\.(atlassian|heroku|twitch|vk|yandex)\.[a-z]{2,3}$"
    r"|^(appleid|idmsa)\.apple\.com$"
    r"|(^|\.)(auth0|okta|okta-emea|oktapreview|onelogin|b2clogin|ciamlogin|microsoftonline|amazoncognito|duosecurity|"
    r"pingone|pingidentity|jumpcloud|workos|stytch|descope|frontegg|kinde|zitadel)\.[a-z]{2,6}$"
    r"|\.(clerk\.accounts|accounts)\.dev$"
)
# The same on hosts that also refer people.
_SIGN_IN_PATH = re.compile(
    r"^/(v\d+(\.\d+)?/)?(dialog/oauth|oauth2?|i/oauth2|uas/login|login/oauth|saml2?|adfs)(/|$)"
)
_SOCIAL = re.compile(
    r"(^|\.)(facebook|instagram|twitter|x|t|linkedin|lnkd|pinterest|reddit|tiktok|youtube|youtu|threads|vk|quora|"
    r"snapchat|whatsapp|wa|telegram|bsky|xing|tumblr|weibo|mastodon|ycombinator)"
    r"\.(com|co|net|in|be|it|me|app|social|ru|org)$|^com\.(facebook|instagram|twitter|linkedin|reddit|pinterest)\."
)
_MAIL = re.compile(
    r"^(web|e-?)?mail\d*\.|(^|\.)(gmail|outlook|hotmail|proton|protonmail|gmx|fastmail)(\.[a-z]{2,6}){1,2}$|\.gm$"
)
_PAID_MEDIUM = re.compile(r"^(.*cp.|ppc|retargeting|paid.*|.*[-_ ]paid|sem|ads?)$")
_DISPLAY_MEDIUM = re.compile(r"^(display|banner|expandable|interstitial|cpm|programmatic)$")
_MEDIA = (
    (re.compile(r"^(e-?mail|newsletter)$"), EMAIL),
    (re.compile(r"^affiliates?$"), AFFILIATES),
    (re.compile(r"^(social|social[-_ ](network|media)|sm)$"), ORGANIC_SOCIAL),
    (re.compile(r"^organic$"), ORGANIC_SEARCH),
    (re.compile(r"^(referral|link)$"), REFERRAL),
)
_SOURCES = (  # utm_source as people write it
    (re.compile(r"^(google|bing|yahoo|duckduckgo|yandex|baidu|ecosia|adwords|googleads)$"), _SEARCH),
    (
        re.compile(
            r"^(facebook|fb|instagram|ig|meta|twitter|x|linkedin|pinterest|reddit|tiktok|youtube|snapchat|threads)$"
        ),
        _SOCIAL,
    ),
)


class Landing(Struct, frozen=True):
    """How a session began, as far as it was sent."""

    referrer: str = ""
    domain: str = ""
    query: str = ""
    utm: tuple[str, ...] = ("", "", "", "", "")  # in the order of UTM
    search_keyword: str = ""


@lru_cache(_KEPT)
def landing_facts(landing: Landing) -> dict[str, str]:
    """What was not sent: keys from FACTS, only what is known, the channel always. The caller must not change it."""
    parameters = _parameters(landing.query)
    utm = dict(zip(UTM, landing.utm, strict=True))
    if not any(landing.utm):
        utm = {name: parameters.get(name, "") for name in UTM}
    referrer = _host_and_query(landing.referrer)
    if _is_within(referrer.host, landing.domain) or _is_sign_in(referrer):
        referrer = _Referrer("", "", "")  # a page of its own site sent nobody
    keyword = landing.search_keyword
    if not keyword and _is_search(referrer.host):
        found = _parameters(referrer.query)
        keyword = next((found[name] for name in _KEYWORD_PARAMETERS if found.get(name)), "")
    channel = _channel(utm["utm_source"].lower(), utm["utm_medium"].lower(), referrer.host, parameters)
    if channel is DIRECT and any(utm.values()):
        channel = OTHER_CAMPAIGN
    facts = {**utm, "search_keyword": keyword, "channel": channel}
    return {name: value for name, value in facts.items() if value}


def _channel(source: str, medium: str, host: str, parameters: dict[str, str]) -> str:
    if paid := _paid(source, medium, host, parameters):
        return paid
    for pattern, channel in _MEDIA:
        if pattern.search(medium):
            return channel
    if source in ("email", "newsletter") or _MAIL.search(host):
        return EMAIL
    if _is(_SOCIAL, source, host):
        return ORGANIC_SOCIAL
    if _is(_SEARCH, source, host):
        return ORGANIC_SEARCH
    return REFERRAL if host and not source and not medium else DIRECT


def _paid(source: str, medium: str, host: str, parameters: dict[str, str]) -> str:
    if _DISPLAY_MEDIUM.search(medium):
        return DISPLAY
    if _PAID_MEDIUM.search(medium):
        if _is(_SOCIAL, source, host) or "social" in medium:
            return PAID_SOCIAL
        is_search = _is(_SEARCH, source, host) or "search" in medium or medium == "sem"
        return PAID_SEARCH if is_search or parameters.keys() & _SEARCH_CLICKS else PAID_OTHER
    if parameters.keys() & _SEARCH_CLICKS:
        return PAID_SEARCH
    if parameters.keys() & _SOCIAL_CLICKS:
        return PAID_SOCIAL
    return DISPLAY if parameters.keys() & _DISPLAY_CLICKS else ""


def _is(kind: re.Pattern[str], source: str, host: str) -> bool:
    """What the sender named counts; the referrer only when nothing was named."""
    if source:
        return bool(kind.search(source)) or any(
            pattern.search(source) for pattern, of_kind in _SOURCES if of_kind is kind
        )
    return _is_search(host) if kind is _SEARCH else bool(kind.search(host))


class _Referrer(Struct, frozen=True):
    host: str
    path: str
    query: str


def _is_sign_in(referrer: _Referrer) -> bool:
    return bool(_SIGN_IN.search(referrer.host) or _SIGN_IN_PATH.search(referrer.path))


def _is_search(host: str) -> bool:
    return bool(_SEARCH.search(host)) and not _NO_SEARCH.search(host)


def _host_and_query(referrer: str) -> _Referrer:
    try:
        split = urlsplit(referrer if "//" in referrer else f"//{referrer}")
        return _Referrer((split.hostname or "").removeprefix("www."), split.path, split.query)
    except ValueError:
        return _Referrer("", "", "")  # brackets that are not an address


def _is_within(host: str, domain: str) -> bool:
    own = domain.lower().removeprefix("www.").partition(":")[0]
    return bool(host and own) and (host == own or host.endswith(f".{own}") or own.endswith(f".{host}"))


def _parameters(query: str) -> dict[str, str]:
    """Repeated ones: the first counts."""
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query.lstrip("?"), max_num_fields=None):
        parameters.setdefault(name.lower(), value)
    return parameters

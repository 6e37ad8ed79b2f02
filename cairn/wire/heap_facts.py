"""What a capture message says of page, session and device, as facts. Masked, cut, and only what is there."""

from collections.abc import Mapping

from cairn.wire.heap_message import ApplicationInfo, DeviceInfo, Message, PageviewInfo, SessionInfo, Text, Utm
from cairn.wire.masking import cut, mask_known, mask_text, mask_url
from cairn.wire.reading import Json
from cairn.wire.users import LONGEST_ID

DEVICE_TYPES = ("", "Mobile", "Tablet", "Desktop", "TV", "Watch", "Automotive")  # by their number on the wire
_VALUE_KEYS = frozenset(("string", "bool", "number", "int", "double", "float", "long"))
_WINDOWS_11 = 13  # the first platform version by which Chromium means Windows 11; 1 to 10 are Windows 10


class Masks:
    """Masks texts, each once: the messages of a request mostly share page, session and device."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._urls: dict[str, str] = {}
        self._known: dict[str, str] = {}

    def text(self, given: Text) -> str:
        text = text_of(given)
        if (masked := self._texts.get(text)) is None:
            masked = self._texts[text] = mask_text(text)
        return masked

    def known(self, given: Text) -> str:
        """Campaign words: long ids stay, as in a query."""
        text = text_of(given)
        if (masked := self._known.get(text)) is None:
            masked = self._known[text] = cut(mask_known(text))
        return masked

    def url(self, given: Text) -> str:
        text = text_of(given)
        if (masked := self._urls.get(text)) is None:
            masked = self._urls[text] = mask_url(text)
        return masked


def facts_of(message: Message, masks: Masks) -> dict[str, str]:
    """Shape: keys from FACTS."""
    session, device, library = message.session_info, message.device, message.base_library
    application = message.application
    facts = {
        **page_facts(message.pageview_info, masks),
        **session_facts(session, masks),
        "platform": text_of(device.platform) or text_of(library.platform),
        **_device_facts(device),
        "app_name": text_of(application.name) or text_of(application.identifier),
        "app_version": text_of(application.version_string),
    }
    return {key: value if len(value) < LONGEST_ID else cut(value) for key, value in facts.items() if value}


def page_facts(page: PageviewInfo, masks: Masks) -> dict[str, str]:
    url = page.url
    return {
        "domain": text_of(url.domain),
        "path": masks.url(url.path),
        "query": masks.url(url.query),
        "hash": masks.url(url.hash),
        "title": masks.text(page.title),
        "previous_path": masks.url(page.previous_page),
        "view": text_of(page.component_or_class_name),
    }


def session_facts(session: SessionInfo, masks: Masks) -> dict[str, str]:
    landing = session.initial_pageview_info.url
    return {
        "referrer": masks.url(session.referrer),
        "search_keyword": masks.text(session.search_keyword),
        **utm_facts(session.utm, masks),
        "landing_domain": text_of(landing.domain),
        "landing_path": masks.url(landing.path),
        "landing_query": masks.url(landing.query),
        "landing_hash": masks.url(landing.hash),
    }


def utm_facts(utm: Utm, masks: Masks) -> dict[str, str]:
    return {
        "utm_source": masks.known(utm.source),
        "utm_medium": masks.known(utm.medium),
        "utm_campaign": masks.known(utm.campaign),
        "utm_term": masks.known(utm.term),
        "utm_content": masks.known(utm.content),
    }


def first_facts(device: DeviceInfo, application: ApplicationInfo) -> dict[str, str]:
    """What an app says of the device it was first opened on."""
    return {
        "platform": text_of(device.platform),
        "device_type": enum_name(device.type, DEVICE_TYPES),
        "device": text_of(device.model),
        "app_name": text_of(application.name) or text_of(application.identifier),
        "app_version": text_of(application.version_string),
    }


def _device_facts(device: DeviceInfo) -> dict[str, str]:
    hints = device.uach
    return {
        "device_type": enum_name(device.type, DEVICE_TYPES),
        "device": text_of(device.model) or text_of(hints.model),
        "device_id": text_of(device.vendor_id),
        "carrier": text_of(device.carrier),
        "browser_version": text_of(hints.browser_version),
        "os_version": _os_version(text_of(hints.platform_version), text_of(device.user_agent)),
    }


def _os_version(platform_version: str, user_agent: str) -> str:
    """As people write it: Windows tells browsers its number within Windows 10 and 11."""
    if platform_version and "Windows" in user_agent:
        major = platform_version.partition(".")[0]
        number = int(major) if major.isascii() and major.isdecimal() and len(major) < 4 else 0
        return "11" if number >= _WINDOWS_11 else "10" if number else ""
    return platform_version


def text_of(text: Text) -> str:
    if type(text) is str:
        return text
    if isinstance(text, bool):
        return "true" if text else "false"
    if isinstance(text, float) and text.is_integer():
        return str(int(text))
    return str(text)


def enum_name(value: Text, names: tuple[str, ...]) -> str:
    """The name behind a number, or behind a name as protobuf writes it (DEVICE_TYPE_MOBILE); empty for any other."""
    if type(value) is int:
        return names[value] if 0 <= value < len(names) else ""
    text = text_of(value).lower()
    if text.isascii() and text.isdecimal() and len(text) < 3:
        return enum_name(int(text), names)
    return next((name for name in names if name and text.endswith(name.lower())), "")


def plain_properties(properties: Mapping[str, Json]) -> dict[str, Json]:
    """Without the Value objects that the wire puts around each."""
    if type(properties) is dict:
        return {key: _plain(value) if type(value) is dict else value for key, value in properties.items()}
    return {key: value.string for key, value in properties.items()}


def masked(captured: Mapping[str, Json]) -> dict[str, Json]:
    """Properties that a client took from the screen by itself, as against those an application chose to send."""
    return {key: mask_text(value) if type(value) is str else value for key, value in captured.items()}


def _plain(value: dict[str, Json]) -> Json:
    if len(value) == 1:
        [(kind, inner)] = value.items()
        if kind in _VALUE_KEYS and not isinstance(inner, dict | list):
            return inner
    return value

"""Which addresses a partner app may name: where browsers are sent back to, and where webhooks go. Pure."""

import ipaddress
import re
from urllib.parse import SplitResult, urlencode, urlsplit

from msgspec import Struct

from cairn.client_address import TrustedProxies
from cairn.errors import InvalidInput
from cairn.http_client import is_public
from cairn.settings import Settings

LONGEST = 2_000  # characters
# What an address is written with; no space, quote, bracket, backslash or letter beyond ASCII.
_PLAIN = re.compile(r"[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]+")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|[0-9a-f:.]+")


class AddressRules(Struct, frozen=True):
    """What this Cairn's operator allows beyond https to public addresses."""

    allowed: TrustedProxies
    is_on_loopback: bool  # this Cairn itself is reached on this machine only


def rules_of(settings: Settings) -> AddressRules:
    own = urlsplit(settings.public_url).hostname if settings.public_url else settings.host
    return AddressRules(settings.outbound_networks, is_loopback(own or ""))


def clean_redirect(text: str, rules: AddressRules, *, field: str = "redirect_uris") -> str:
    """An address that browsers may be sent to with a code; it is compared letter by letter. Raises InvalidInput."""
    text, parts = _read(text, field)
    host = parts.hostname or ""
    is_local = is_loopback(host) and (rules.is_on_loopback or _loopback_address(host) in rules.allowed)
    if parts.scheme == "http" and not is_local:
        raise _refused(
            field, text, "use https; http is for addresses of this machine, where the operator allows it"
        )
    return text


def clean_webhook(text: str, rules: AddressRules, *, field: str = "webhook_url") -> str:
    """An address that webhooks may be sent to. The host is checked again at each call. Raises InvalidInput."""
    text, parts = _read(text, field)
    host = _loopback_address(parts.hostname or "")
    is_allowed = host in rules.allowed
    if parts.scheme == "http" and not is_allowed:
        raise _refused(field, text, "use https, or let an operator allow the host in outbound_networks")
    if _is_address(host) and not (is_allowed or is_public(host)):
        raise _refused(
            field, text, "it is not a public address; an operator can allow it in outbound_networks"
        )
    return text


def host_of(address: str) -> str:
    """Host and port, as a person recognises an address."""
    return urlsplit(address).netloc


def with_parameters(address: str, parameters: list[tuple[str, str]], *, raw: str = "") -> str:
    """The address with more parameters; what it has stays as it is written. `raw`: appended as it is."""
    more = "&".join(part for part in (urlencode(parameters), raw) if part)
    return f"{address}{'&' if '?' in address else '?'}{more}"


def is_loopback(host: str) -> bool:
    host = _loopback_address(host)
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def _loopback_address(host: str) -> str:
    """`localhost` is this machine by definition; every other name may stand for anything."""
    return "127.0.0.1" if host == "localhost" else host


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _read(text: str, field: str) -> tuple[str, SplitResult]:
    text = text.strip()
    if not text or len(text) > LONGEST:
        raise InvalidInput(
            f"{field}: expected an address of 1 to {LONGEST} characters, got {len(text)}", field=field
        )
    if "#" in text:
        raise _refused(field, text, "leave out the fragment, '#' and what follows it")
    if not _PLAIN.fullmatch(text):
        raise _refused(field, text, "write it in ASCII, without spaces, quotes, brackets and backslashes")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise _refused(field, text, f"it cannot be read: {error}") from error
    if not text.startswith(("https://", "http://")) or not _HOST.fullmatch(parts.hostname or ""):
        raise _refused(field, text, "give the whole address, for example https://partner.example/callback")
    if "@" in parts.netloc:
        raise _refused(field, text, "leave out user name and password")
    return text, parts


def _refused(field: str, text: str, what: str) -> InvalidInput:
    return InvalidInput(f"{field}: {text[:100]!r} is not accepted: {what}", field=field)

"""Links that open the labeller on a customer's own page. Pure.

The grant goes into the fragment, which browsers send to no server; the loader takes it out of the address at once.
"""

import ipaddress
from urllib.parse import SplitResult, urlsplit

from cairn.errors import InvalidInput

PARAMETER = "cairn-label"  # browser/capture/loader.ts looks for it
MAX_ADDRESS = 2_000  # characters


def page_address(text: str) -> str:
    """An address as a person types it, whole. Raises InvalidInput."""
    text = text.strip()
    if not text or len(text) > MAX_ADDRESS:
        raise _refused(f"expected 1 to {MAX_ADDRESS} characters")
    if "://" not in text:
        host = text.partition("/")[0]
        text = f"{'https' if is_public(host.rpartition(':')[0] or host) else 'http'}://{text}"
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise _refused(f"cannot be read: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _refused("give the address of a page, for example https://shop.example/cart")
    if parts.username is not None or any(ord(character) <= 32 for character in text):
        raise _refused("leave out spaces, user name and password")
    return text


def label_link(address: str, token: str) -> str:
    """The address with the grant. A fragment that is there stays: some applications route by it."""
    parts = urlsplit(address)
    return SplitResult(*parts[:4], _with_parameter(parts.fragment, f"{PARAMETER}={token}")).geturl()


def _with_parameter(fragment: str, parameter: str) -> str:
    if not fragment:
        return parameter
    is_route = fragment.startswith(("/", "!/")) and "?" not in fragment
    return f"{fragment}{'?' if is_route else '&'}{parameter}"


def is_public(host: str) -> bool:
    """Public sites have TLS and its port; what runs on somebody's own machine mostly has neither."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_global
    except ValueError:
        return "." in host and not host.endswith((".localhost", ".local"))


def _refused(what: str) -> InvalidInput:
    return InvalidInput(f"address: {what}", field="address")

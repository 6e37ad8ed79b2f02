"""Which addresses calls may be connected to."""

import ipaddress
import socket
from collections.abc import Callable, Sequence

from cairn.client_address import IPAddress, TrustedProxies
from cairn.http_client.call import CallFailed, CallRefused

# Public by their number, but what answers there belongs to the machine's own provider.
_PROVIDER = frozenset({ipaddress.ip_address("168.63.129.16")})
_GLOBAL_IPV6 = ipaddress.ip_network("2000::/3")
_TEREDO = ipaddress.ip_network("2001::/32")
_6TO4 = ipaddress.ip_network("2002::/16")
# Special by their registries, and not by the standard library of every Python: protocol assignments, among them a
# cloud's metadata, 6to4 relays, documentation.
_SPECIAL = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Resolve = Callable[[str, int], list[str]]


def resolve(host: str, port: int) -> list[str]:
    """Every address of a host, in the resolver's order. Numbers in any notation are addresses already."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise CallFailed(f"{host!r} has no address: {error}") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(text: str) -> bool:
    """Whether anybody on the internet could reach the address. False for what is no address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return _is_public(address)


def _is_public(address: IPAddress) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if (inner := _inner(address)) is not None:
            return _is_public(inner)
        if address not in _GLOBAL_IPV6 or address in _TEREDO:
            return False
    if address.is_multicast or address.is_reserved or address in _PROVIDER:
        return False
    return address.is_global and not any(address in network for network in _SPECIAL)


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for: mapped, compatible, NAT64 or 6to4."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _6TO4:
        return ipaddress.IPv4Address(int(address) >> 80 & 0xFFFFFFFF)
    if address in _NAT64 or int(address) >> 32 == 0:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def checked_address(host: str, addresses: Sequence[str], allowed: TrustedProxies, *, is_secret: bool) -> str:
    """The one to connect to. Raises CallRefused when any of them is not allowed.

    `is_secret`: secrets are on their way without encryption.
    """
    for address in addresses:
        if address not in allowed and (is_secret or not is_public(address)):
            reason = "secrets go over https only" if is_public(address) else "it is not a public address"
            raise CallRefused(
                f"{host!r} is {address}: {reason}; an operator can allow it in outbound_networks"
            )
    if not addresses:
        raise CallFailed(f"{host!r} has no address")
    return addresses[0]

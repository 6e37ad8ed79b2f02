"""Whose address a request comes from: the connection's own, or what trusted proxies in front say it is.

`X-Forwarded-For` is a list to which each proxy appends the address it was called from. Only entries written by trusted
proxies count, so the list is read from its right end, up to the first address that is not a trusted proxy.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

# Proxies in a row; entries further left than this are not read.
MOST_HOPS = 32
# One IPv6 customer usually has a whole network of this size, and may choose any address in it.
IPV6_CUSTOMER_BITS = 64
_LONGEST_HOP = 100  # characters; an IPv6 address with zone and port has at most 70
_SCHEMES = ("http", "https")


class TrustedProxies:
    """Addresses and networks whose word about their own callers is taken."""

    def __init__(self, text: str) -> None:
        """Read addresses and networks, separated by commas or spaces; empty trusts nobody. Raises ValueError."""
        self._networks = tuple(_network(part) for part in text.replace(",", " ").split())
        self._trusts = lru_cache(maxsize=4096)(self._look)

    def __contains__(self, host: str) -> bool:
        return self._trusts(host)

    def __str__(self) -> str:
        return ",".join(str(network) for network in self._networks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TrustedProxies) and self._networks == other._networks

    def __hash__(self) -> int:
        return hash(self._networks)

    def _look(self, host: str) -> bool:
        address = read_address(host)
        return address is not None and any(
            address.version == network.version and address in network for network in self._networks
        )


def caller_of(peer: str, headers: Iterable[tuple[bytes, bytes]], trusted: TrustedProxies) -> tuple[str, str]:
    """The client's address and, where a trusted proxy tells it, the scheme the client used (else empty).

    `peer` is who opened the connection. A hop that is not an address (`unknown`) hides what is left of it: then the
    client is the proxy that wrote it. Repeated header lines are one list (RFC 9110, 5.3).
    """
    if peer not in trusted:
        return _plain(peer), ""
    hops = _listed(headers, b"x-forwarded-for")
    client, depth = _plain(peer), 0
    for hop in reversed(hops[-MOST_HOPS:]):
        depth += 1
        address = read_address(hop)
        if address is None:
            break
        client = str(address)
        if client not in trusted:
            break
    schemes = _listed(headers, b"x-forwarded-proto")
    # Each proxy appended its scheme beside its hop; one that replaced the header left a single value.
    scheme = schemes[-min(max(depth, 1), len(schemes))].lower() if schemes else ""
    return client, scheme if scheme in _SCHEMES else ""


def read_address(text: str) -> IPAddress | None:
    """An address as proxies write it: with or without port, brackets or zone. IPv4 in IPv6 becomes IPv4."""
    text = text.strip().strip('"')
    if len(text) > _LONGEST_HOP:
        return None
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def customer_of(host: str) -> str:
    """What counts as one sender where senders are limited: an IPv4 address, or the /64 of an IPv6 one.

    This machine is one sender by itself: nobody else is in `::1`'s network.
    """
    address = read_address(host)
    if address is None:
        return host[:_LONGEST_HOP]
    if isinstance(address, ipaddress.IPv6Address) and not address.is_loopback:
        return str(ipaddress.ip_network((address, IPV6_CUSTOMER_BITS), strict=False))
    return str(address)


def _plain(peer: str) -> str:
    """A peer as the system names it; an IPv4 caller of an IPv6 socket is named by its IPv4 address."""
    if ":" not in peer:
        return peer
    address = read_address(peer)
    return peer if address is None else str(address)


def _network(text: str) -> IPNetwork:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(
            f"{text[:60]!r} is neither an address nor a network; write for example 10.0.0.5 or 10.0.0.0/8"
        ) from error
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is not None and network.prefixlen >= 96:
        return ipaddress.ip_network((mapped, network.prefixlen - 96))
    return network


def _listed(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    values = [value for name, value in headers if name == wanted]
    return [part for part in b",".join(values).decode("latin-1").replace(" ", "").split(",") if part]

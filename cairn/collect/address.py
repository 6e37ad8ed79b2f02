"""What of a sender's address reaches the disk where it is not to be kept: enough to tell the city, or nothing."""

import ipaddress
from functools import lru_cache

IPV4_BITS, IPV6_BITS = 24, 48  # kept of an address; location files hardly tell more apart
_KEPT = 20_000  # addresses


@lru_cache(_KEPT)
def shortened(ip: str) -> str:
    """The network an address is in; empty for what is no address."""
    try:
        bits = IPV6_BITS if ":" in ip else IPV4_BITS
        return str(ipaddress.ip_network(f"{ip.partition('%')[0]}/{bits}", strict=False).network_address)
    except ValueError:
        return ""

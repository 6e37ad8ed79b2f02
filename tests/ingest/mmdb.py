"""Writes the smallest files in MaxMind's format: networks of IPv4 and what lies there."""

import ipaddress
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_MARKER = b"\xab\xcd\xefMaxMind.com"
_MAP, _TEXT, _ARRAY, _UINT16, _UINT32, _UINT64 = 7, 2, 11, 5, 6, 9


def write_mmdb(path: Path, networks: Mapping[str, Any]) -> Path:
    """Shape: network -> record of dicts, lists and text."""
    nodes: list[list[Any]] = [[None, None]]
    data, places = b"", []
    for network, record in networks.items():
        places.append(len(data))
        data += _encoded(record)
        _add(nodes, ipaddress.ip_network(network), len(places) - 1)
    count = len(nodes)

    def number(child: Any) -> int:
        if child is None:
            return count
        return child if child >= 0 else count + 16 + places[-child - 1]

    tree = b"".join(struct.pack(">I", number(child))[1:] for node in nodes for child in node)
    metadata = _encoded(
        {"database_type": "Test-City", "languages": ["en"], "description": {"en": "for tests"}}
        | {"node_count": (_UINT32, count), "record_size": (_UINT16, 24), "ip_version": (_UINT16, 4)}
        | {"binary_format_major_version": (_UINT16, 2), "binary_format_minor_version": (_UINT16, 0)}
        | {"build_epoch": (_UINT64, 1_700_000_000)}
    )
    path.write_bytes(tree + bytes(16) + data + _MARKER + metadata)
    return path


def _add(nodes: list[list[Any]], network: Any, place: int) -> None:
    bits = f"{int(network.network_address):032b}"[: network.prefixlen]
    node = 0
    for bit in bits[:-1]:
        if nodes[node][int(bit)] is None:
            nodes.append([None, None])
            nodes[node][int(bit)] = len(nodes) - 1
        node = nodes[node][int(bit)]
    nodes[node][int(bits[-1])] = -place - 1


def _encoded(value: Any) -> bytes:
    if isinstance(value, str):
        raw = value.encode()
        return _control(_TEXT, len(raw)) + raw
    if isinstance(value, dict):
        return _control(_MAP, len(value)) + b"".join(_encoded(k) + _encoded(v) for k, v in value.items())
    if isinstance(value, list):
        return _control(_ARRAY, len(value)) + b"".join(map(_encoded, value))
    kind, number = value
    raw = number.to_bytes(8, "big").lstrip(b"\0")
    return _control(kind, len(raw)) + raw


def _control(kind: int, size: int) -> bytes:
    if size >= 29:
        assert size < 29 + 256
        return bytes([kind << 5 | 29]) + bytes([size - 29]) if kind < 8 else bytes([29, kind - 7, size - 29])
    return bytes([kind << 5 | size]) if kind < 8 else bytes([size, kind - 7])

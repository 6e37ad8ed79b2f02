"""Where an address lies, from a file the operator brings (MaxMind's format; several vendors write it)."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import maxminddb

from cairn.errors import Misconfigured

Locate = Callable[[str], Mapping[str, str]]
_KEPT = 20_000  # addresses

Entry = Any  # a foreign record: vendors nest it differently


def locate_nothing(_ip: str) -> Mapping[str, str]:
    return {}


def open_locations(path: Path | None) -> Locate:
    """What is known of an address: country, region, city. Raises Misconfigured when the file cannot be read."""
    if path is None:
        return locate_nothing
    try:
        reader = maxminddb.open_database(path, maxminddb.MODE_AUTO)
    except (OSError, maxminddb.InvalidDatabaseError) as error:
        raise Misconfigured(
            f"location_file={str(path)!r} cannot be read: {error}; name a file in MaxMind's .mmdb format",
            field="location_file",
        ) from error

    @lru_cache(_KEPT)
    def locate(ip: str) -> Mapping[str, str]:
        try:
            return location_facts(reader.get(ip))
        except (ValueError, maxminddb.InvalidDatabaseError):
            return {}  # no address, or a damaged record: an event without a location is better than none

    return locate


def location_facts(entry: Entry) -> dict[str, str]:
    """Shape: keys from FACTS, only what is known. Pure."""
    if not isinstance(entry, dict):
        return {}
    regions = entry.get("subdivisions")
    facts = {
        "country": _name(entry.get("country")) or _name(entry.get("registered_country")),
        "region": _name(regions[0]) if isinstance(regions, list) and regions else _name(entry.get("region")),
        "city": _name(entry.get("city")),
    }
    return {name: value for name, value in facts.items() if value}


def _name(entry: Entry) -> str:
    """The English name, else the code: MaxMind nests them, others write the text itself."""
    if isinstance(entry, str):
        return entry
    if not isinstance(entry, dict):
        return ""
    names = entry.get("names")
    name = names.get("en") if isinstance(names, dict) else None
    return str(name or entry.get("iso_code") or "")

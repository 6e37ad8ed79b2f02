from pathlib import Path
from typing import Any

import pytest

from cairn.errors import Misconfigured
from cairn.ingest.location import location_facts, open_locations
from tests.ingest.mmdb import write_mmdb

GRAZ = {
    "country": {"iso_code": "AT", "names": {"en": "Austria", "de": "Österreich"}},
    "subdivisions": [{"iso_code": "6", "names": {"en": "Styria"}}],
    "city": {"names": {"en": "Graz"}},
}


@pytest.mark.parametrize(
    ("ip", "expected"),
    [
        ("203.0.113.9", {"country": "Austria", "region": "Styria", "city": "Graz"}),
        ("198.51.100.1", {"country": "DE"}),
        ("192.0.2.1", {}),
        ("2001:db8::1", {}),
        ("no address", {}),
        ("", {}),
    ],
)
def test_where_an_address_lies(tmp_path: Path, ip: str, expected: dict[str, str]) -> None:
    path = write_mmdb(tmp_path / "city.mmdb", {"203.0.113.0/24": GRAZ, "198.51.100.0/25": {"country": "DE"}})
    assert open_locations(path)(ip) == expected


def test_without_a_file_nothing_is_known() -> None:
    assert open_locations(None)("203.0.113.9") == {}


@pytest.mark.parametrize("body", [None, b"", b"not a database"], ids=["missing", "empty", "another format"])
def test_a_file_that_cannot_be_read_stops_the_start(tmp_path: Path, body: bytes | None) -> None:
    path = tmp_path / "city.mmdb"
    if body is not None:
        path.write_bytes(body)
    with pytest.raises(Misconfigured, match="location_file"):
        open_locations(path)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (None, {}),
        ([], {}),
        ({"country": 7, "city": {}, "subdivisions": []}, {}),
        ({"registered_country": {"iso_code": "FR"}}, {"country": "FR"}),
        (
            {"country": "DE", "region": "Hesse", "city": "Kassel"},
            dict(country="DE", region="Hesse", city="Kassel"),
        ),
    ],
)
def test_records_of_several_vendors(entry: Any, expected: dict[str, str]) -> None:
    assert location_facts(entry) == expected

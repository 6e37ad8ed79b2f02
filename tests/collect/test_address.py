"""A sender's address in the event log: whole where the environment keeps it, else as little as is of use."""

import pytest

from cairn.collect.address import shortened
from cairn.eventlog.log import EventLog
from tests.collect.conftest import serving


@pytest.mark.parametrize(
    ("app_id", "options", "kept"),
    [
        pytest.param("11", {}, "127.0.0.1", id="kept"),
        pytest.param("22", {}, "", id="not kept, and no use for it"),
        pytest.param(
            "22", {"location_file": "places.mmdb"}, "127.0.0.0", id="not kept, but it tells the city"
        ),
    ],
)
def test_the_log_holds_no_address_that_is_not_kept(
    log: EventLog, app_id: str, options: dict[str, str], kept: str
) -> None:
    with serving(log, **options) as served:
        answer = served.http.post("/api/track", json={"app_id": app_id, "identity": "dana", "event": "Paid"})
        assert answer.status_code == 200
        assert served.http.get(f"/h?a={app_id}&u=7&h=/").status_code == 200
        assert [one.ip for one in served.arrivals()] == [kept, kept]


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("203.0.113.77", "203.0.113.0"),
        ("2001:db8:1:2:3::4", "2001:db8:1::"),
        ("fe80::1%eth0", "fe80::"),
        ("::ffff:203.0.113.77", "::"),
        ("unix:", ""),
        ("", ""),
        ("1.2.3", ""),
    ],
)
def test_the_network_of_an_address(ip: str, network: str) -> None:
    assert shortened(ip) == network

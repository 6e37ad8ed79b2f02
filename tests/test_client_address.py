"""Whose address a request comes from, with any chain of proxies in front: the word of trusted ones, nobody else's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cairn.client_address import TrustedProxies, caller_of, customer_of
from cairn.errors import Misconfigured
from cairn.settings import load
from tests.edge_alone import EdgeAlone

INSIDE = TrustedProxies("127.0.0.0/8, ::1, 10.0.0.0/8, fd00::/8")


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        pytest.param([], "127.0.0.1", id="no proxy"),
        pytest.param(["203.0.113.8"], "203.0.113.8", id="one proxy"),
        pytest.param(["203.0.113.8, 10.0.0.1"], "203.0.113.8", id="two proxies"),
        pytest.param(["203.0.113.8", "10.0.0.1"], "203.0.113.8", id="two lines are one list"),
        pytest.param(["1.2.3.4, 203.0.113.8, 10.0.0.1"], "203.0.113.8", id="spoofed left part"),
        pytest.param(["127.0.0.1, 203.0.113.8"], "203.0.113.8", id="spoofed to be this machine"),
        pytest.param(["1.2.3.4", "203.0.113.8"], "203.0.113.8", id="spoofed line of its own"),
        pytest.param(["203.0.113.8:51234, 10.0.0.1:80"], "203.0.113.8", id="ports"),
        pytest.param(["[2001:db8::8]:51234"], "2001:db8::8", id="brackets and port"),
        pytest.param(["[2001:db8::8]"], "2001:db8::8", id="brackets"),
        pytest.param(["2001:DB8:0::8, fd00::1"], "2001:db8::8", id="IPv6, one spelling"),
        pytest.param(["::ffff:203.0.113.8, ::ffff:10.0.0.1"], "203.0.113.8", id="IPv4 in IPv6"),
        pytest.param(['"203.0.113.8"'], "203.0.113.8", id="quotes"),
        pytest.param(["203.0.113.8, , 10.0.0.1,"], "203.0.113.8", id="empty entries"),
        pytest.param(["203.0.113.8, unknown, 10.0.0.1"], "10.0.0.1", id="a hop nobody knows hides the rest"),
        pytest.param(["203.0.113.8, evil'>, 10.0.0.1"], "10.0.0.1", id="junk hop"),
        pytest.param(["junk"], "127.0.0.1", id="only junk"),
        pytest.param([""], "127.0.0.1", id="empty"),
        pytest.param(["10.0.0.9, 10.0.0.1"], "10.0.0.9", id="a client among the trusted"),
        pytest.param(["203.0.113.8," + "10.0.0.1," * 1500], "10.0.0.1", id="endless chain"),
        pytest.param(["9" * 5000], "127.0.0.1", id="endless hop"),
    ],
)
def test_client_is_the_first_untrusted_hop_from_the_right(lines: list[str], client: str) -> None:
    headers = [(b"x-forwarded-for", line.encode()) for line in lines]
    assert caller_of("127.0.0.1", headers, INSIDE)[0] == client
    assert caller_of("198.51.100.1", headers, INSIDE)[0] == "198.51.100.1", "no proxy of ours: not believed"


@pytest.mark.parametrize(
    ("hops", "schemes", "scheme"),
    [
        pytest.param("203.0.113.8", "https", "https", id="one proxy"),
        pytest.param("203.0.113.8", "HTTPS", "https", id="capitals"),
        pytest.param("203.0.113.8, 10.0.0.1", "https", "https", id="two proxies, one value"),
        pytest.param("203.0.113.8, 10.0.0.1", "https, http", "https", id="two proxies, the outer has TLS"),
        pytest.param("203.0.113.8", "https, http", "http", id="the left value came from the client"),
        pytest.param("203.0.113.8", "javascript", "", id="no scheme of ours"),
        pytest.param("203.0.113.8", "", "", id="not said"),
    ],
)
def test_scheme_is_what_the_outermost_trusted_proxy_was_asked_with(
    hops: str, schemes: str, scheme: str
) -> None:
    headers = [(b"x-forwarded-for", hops.encode()), (b"x-forwarded-proto", schemes.encode())]
    assert caller_of("127.0.0.1", headers, INSIDE)[1] == scheme
    assert caller_of("198.51.100.1", headers, INSIDE)[1] == ""


@pytest.mark.parametrize(
    ("host", "customer"),
    [
        ("203.0.113.8", "203.0.113.8"),
        ("::ffff:203.0.113.8", "203.0.113.8"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
        ("::1", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("[::1]:443", "::1"),
        ("::1%lo", "::1"),
        ("::2", "::/64"),
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::ffff:7f00:1", "127.0.0.1"),
    ],
)
def test_neighbours_in_an_ipv6_network_are_one_sender(host: str, customer: str) -> None:
    assert customer_of(host) == customer


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1"])
def test_this_machine_is_trusted_however_it_is_spelled_and_counted(host: str) -> None:
    """Limits name a sender by `customer_of`; that must be the same one whose word is taken."""
    trusted = load({}, {}).trusted_proxies
    assert host in trusted and customer_of(host) in trusted
    assert caller_of(host, [], trusted) == (customer_of(host), "")


@pytest.mark.parametrize("text", ["10.0.0.0/8,proxy.internal", "10.0.0.1/8", "*", "300.1.1.1", "10.0.0.0/40"])
def test_a_wrong_address_stops_the_start(text: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        load({"trusted_proxies": text}, {})
    assert refused.value.field == "trusted_proxies"


def test_setting_is_read_from_every_source_and_written_back(tmp_path: Path) -> None:
    file = tmp_path / "cairn.toml"
    file.write_text('trusted_proxies = ["10.0.0.0/8", "::ffff:192.0.2.7"]\n')
    trusted = load({}, {"CAIRN_CONFIG": str(file)}).trusted_proxies
    assert str(trusted) == "10.0.0.0/8,192.0.2.7/32"
    assert "10.9.9.9" in trusted and "127.0.0.1" not in trusted
    assert load({"trusted_proxies": str(trusted)}, {}).trusted_proxies == trusted
    assert "127.0.0.1" not in load({"trusted_proxies": ""}, {}).trusted_proxies
    default = load({}, {}).trusted_proxies
    assert "127.0.0.1" in default and "::1" in default and "10.0.0.1" not in default


@pytest.fixture(scope="module")
def behind_two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeAlone]:
    edge = EdgeAlone(tmp_path_factory.mktemp("two") / "data", "--trusted-proxies", "127.0.0.1,10.0.0.0/8")
    yield edge
    edge.close()


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeAlone]:
    edge = EdgeAlone(tmp_path_factory.mktemp("direct") / "data", "--trusted-proxies", "")
    yield edge
    edge.close()


def test_events_and_pages_get_the_clients_address_behind_proxies(
    behind_two: EdgeAlone, direct: EdgeAlone
) -> None:
    for edge, address in ((behind_two, "203.0.113.8"), (direct, "127.0.0.1")):
        chain = "1.2.3.4, 203.0.113.8, 10.0.0.1"
        assert edge.track(**{"X-Forwarded-For": chain}) == 200
        assert edge.logged()[-1].ip == address
        heard = edge.at_core(f"X-Forwarded-For: {chain}", "X-Forwarded-Proto: https")
        assert heard["x-forwarded-for"] == [address]
        assert heard["x-forwarded-proto"] == ["https" if edge is behind_two else "http"]


def test_health_is_not_shown_to_whom_a_proxy_forwards(behind_two: EdgeAlone) -> None:
    _, body = behind_two.ask("GET", "/-/edge/health", **{"X-Forwarded-For": "127.0.0.1, 203.0.113.8"})
    assert b'"path"' in body, "left to the core"
    assert "gateway" in behind_two.health()

"""Guessed passwords over HTTP, through the real edge and core: who counts as one sender, and what as one account."""

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import httpx2
import pytest

from cairn.workspace.throttle import PER_PAIR
from tests.served import Served

EMAIL, PASSWORD = "ann@example.com", "correct horse battery"
_numbers = count(1)


class SignIn:
    def __init__(self, served: Served) -> None:
        self._url = served.url
        self._visitor = httpx2.Client(base_url=self._url)

    def close(self) -> None:
        self._visitor.close()

    def sign_up(self) -> None:
        form = {"email": EMAIL, "name": "Ann", "password": PASSWORD, "workspace_name": "Shop"}
        with httpx2.Client(base_url=self._url) as visitor:
            page = visitor.get("/sign-up").text
            names = set(re.findall(r'<input[^>]* name="([^"]+)"', page))
            csrf = re.search(r'name="csrf" value="([^"]*)"', page)
            assert csrf and set(form) <= names, names
            assert visitor.post("/sign-up", data={**form, "csrf": csrf[1]}).status_code == 303

    def __call__(self, email: str, hops: str | None, *, password: str = "a wrong password") -> int:
        self._visitor.cookies.clear()  # a session from before
        page = self._visitor.get("/sign-in").text
        csrf = re.search(r'name="csrf" value="([^"]*)"', page)
        assert csrf
        headers = {} if hops is None else {"X-Forwarded-For": hops}
        form = {"email": email, "password": password, "csrf": csrf[1]}
        return self._visitor.post("/sign-in", data=form, headers=headers).status_code

    def use_up(self, email: str, hops: str | None) -> None:
        assert [self(email, hops) for _ in range(PER_PAIR)] == [401] * PER_PAIR


@pytest.fixture(scope="module", params=["127.0.0.1", "::1"])
def sign_in(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignIn]:
    """Callers sit on this machine, by IPv4 and by IPv6; another proxy is named, in a network of its own."""
    trusted = "127.0.0.0/8,::1,10.20.0.0/16"
    folder: Path = tmp_path_factory.mktemp("throttle")
    options = ("--host", request.param, "--trusted-proxies", trusted)
    served = Served(folder / "data", options=options).start()
    entry = SignIn(served)
    entry.sign_up()
    yield entry
    entry.close()
    assert served.stop() == 0


def fresh_email() -> str:
    return f"nobody{next(_numbers)}@example.com"


def fresh_address() -> str:
    return f"203.0.113.{next(_numbers)}"


SPELLINGS = [
    pytest.param("ＡＮＮ＠example.com", id="full-width letters"),
    pytest.param("ann@example．com", id="full-width dot"),
    pytest.param("𝐚𝐧𝐧@example.com", id="mathematical letters"),
    pytest.param("  ANN@EXAMPLE.COM\u3000", id="capitals and blanks"),
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_another_spelling_of_an_account_is_no_fresh_attempt(sign_in: SignIn, spelling: str) -> None:
    address = fresh_address()
    sign_in.use_up(EMAIL, address)
    assert sign_in(spelling, address) == 429
    assert sign_in(spelling, address, password=PASSWORD) == 429, "nor with the right one"
    assert sign_in(spelling, fresh_address(), password=PASSWORD) == 303, "it is the account, from elsewhere"


# The hops of a first and of a second caller, and whether they count as one.
CALLERS = [
    pytest.param("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:fffe", True, id="neighbours of one /64"),
    pytest.param("2001:db8:1:4::1", "2001:db8:1:5::1", False, id="another /64"),
    pytest.param("[2001:db8:1:6::1]:443", "2001:db8:1:6::2", True, id="with a port"),
    pytest.param("198.51.100.7", "::ffff:198.51.100.7", True, id="IPv4 in IPv6"),
    pytest.param("198.51.100.8", "198.51.100.9", False, id="two behind the proxy of this machine"),
    pytest.param(
        "198.51.100.10, 10.20.0.1", "198.51.100.11, 10.20.0.1", False, id="two behind another proxy"
    ),
    pytest.param(
        "198.51.100.12, 10.20.0.1", "198.51.100.12, 10.20.0.2", True, id="one behind two other proxies"
    ),
    pytest.param(
        "1.1.1.1, 198.51.100.13", "2.2.2.2, 198.51.100.13", True, id="what a caller says of himself"
    ),
    pytest.param(
        "3.3.3.3, 192.0.2.9, 10.20.0.1", "4.4.4.4, 192.0.2.9", True, id="through a proxy nobody trusts"
    ),
    pytest.param(None, "198.51.100.14", False, id="this machine itself, and who it forwards"),
]


@pytest.mark.parametrize(("first", "second", "is_one"), CALLERS)
def test_who_counts_as_one_caller(sign_in: SignIn, first: str | None, second: str, is_one: bool) -> None:
    email = fresh_email()
    sign_in.use_up(email, first)
    assert sign_in(email, first) == 429
    assert sign_in(email, second) == (429 if is_one else 401)


@pytest.mark.parametrize(
    "spelling", ["127.0.0.1", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "[::1]:8300"]
)
def test_a_direct_caller_of_this_machine_is_itself_and_not_whom_it_forwards(
    sign_in: SignIn, spelling: str
) -> None:
    """Using up the attempts of a proxy's clients takes none of the machine's own, however its address is spelled."""
    email = fresh_email()
    sign_in.use_up(email, "198.51.100.20")
    assert sign_in(email, None) == 401, "direct"
    other = fresh_email()
    sign_in.use_up(other, spelling)
    assert sign_in(other, spelling) == 429
    assert sign_in(other, "::2") == 401, "an address of the same /64 as ::1 is not this machine"

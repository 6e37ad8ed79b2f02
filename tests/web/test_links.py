"""Every link of every page of the demo leads to a page, to a place on it, or to a site that is named here."""

import re
from collections import Counter, deque
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urldefrag, urljoin, urlsplit

import httpx2 as httpx
import pytest

from tests.patience import eventually
from tests.prepared import Demos
from tests.whole.conftest import Whole

# Sites that pages may lead to; the product itself needs none.
ELSEWHERE: frozenset[str] = frozenset()
# Of pages that differ only in which user, event or search they show, so many are looked at.
ALIKE = 6


class Links(HTMLParser):
    """The addresses and the places of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        known = dict(attributes)
        if found := known.get("id"):
            self.ids.add(found)
        for name in ("href", "src", "hx-get"):
            if address := known.get(name):
                self.addresses.append(address)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, demos: Demos) -> Iterator[httpx.Client]:
    served = demos.served(tmp_path_factory.mktemp("links") / "data").start()
    whole = Whole(served, "production")
    whole.send("/api/track", identity="last@shop.test", event="After the history")
    eventually(lambda: whole.live(search="After the history"))
    with whole.signed_in() as browser:
        yield browser
    whole.http.close()
    assert served.stop() == 0


def likeness(address: str) -> str:
    """The same for pages that differ only in what they show."""
    parts = urlsplit(address)
    path = re.sub(r"/(\d+|e\d+)(?=/|$)", "/N", parts.path)
    path = re.sub(r"(/demo/shop)/.*", r"\1", path)
    return path + "?" + "&".join(sorted(key for key, _ in parse_qsl(parts.query)))


def test_every_link_leads_to_a_page_or_a_place_on_it(pages: httpx.Client) -> None:
    own = str(pages.base_url).rstrip("/")
    waiting, linked_from = deque([f"{own}/"]), {f"{own}/": "the start"}
    alike, ids, wrong = Counter[str](), dict[str, set[str]](), list[str]()
    anchors: list[tuple[str, str, str]] = []
    while waiting:
        address = waiting.popleft()
        answer = pages.get(address)
        if answer.status_code >= 400:
            wrong.append(f"{answer.status_code}: {address}, linked from {linked_from[address]}")
        if not answer.headers.get("content-type", "").startswith("text/html"):
            continue
        found = Links(answer.text)
        ids[address] = found.ids
        for link in found.addresses:
            target, place = urldefrag(urljoin(str(answer.url), link))
            if not target.startswith(f"{own}/"):
                if urlsplit(target).hostname not in ELSEWHERE and not target.startswith(("data:", "mailto:")):
                    wrong.append(f"leads elsewhere: {target}, linked from {address}")
                continue
            if place:
                anchors.append((target, place, address))
            if target not in linked_from and alike[likeness(target)] < ALIKE:
                alike[likeness(target)] += 1
                linked_from[target] = address
                waiting.append(target)
    wrong += [
        f"no #{place} on {target}, linked from {address}"
        for target, place, address in anchors
        if target in ids and place not in ids[target]
    ]
    assert wrong == []
    assert len(ids) > 60, "the crawl reached the pages"

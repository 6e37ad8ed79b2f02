"""No parser of foreign bytes does more than linear work, nor makes more of them than their length allows."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from starlette.requests import Request

from cairn.client_address import TrustedProxies, caller_of
from cairn.definitions.selector import SelectorNotAccepted, read_selector
from cairn.event import Element
from cairn.gateway.aliases import asked_ids
from cairn.gateway.list_check import question
from cairn.ingest.batch import Batch, Item
from cairn.ingest.channel import Landing, landing_facts
from cairn.ingest.device import device_facts, device_type, is_bot
from cairn.ingest.steps import cut_texts
from cairn.redact import redacted
from cairn.web.guard import read_cookie
from cairn.wire import pixel
from cairn.wire.hierarchy import element_of
from cairn.wire.masking import LONGEST_TEXT, mask_text, mask_url
from cairn.wire.parsers import PARSERS
from tests.wire.arrivals import parse
from tests.wire.hostile import HEADERS, JSON, PROTOBUF, QUERIES, TEXTS, Hostile, check_growth

WIRES = sorted(set(PARSERS) - {"refused", "removed"})
BODIES = {**JSON, **PROTOBUF, **QUERIES}


def parsed(parser: str, body: bytes) -> object:
    """As the loader has it before anything is stored."""
    kinds = ("batch", "track", "identify") if parser == "segment" else ("batch",)
    events = [
        event for kind in kinds for event in parse(parser, body, type=kind, app_id="5", content_type="")
    ]
    batch = Batch([Item(1, 0, b"")], drafts=[event for event in events if hasattr(event, "facts")])
    cut_texts(batch, None)  # type: ignore[arg-type]  # it uses nothing
    return events


@pytest.mark.parametrize("hostile", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("parser", WIRES)
def test_a_body_costs_its_length(parser: str, hostile: Hostile) -> None:
    check_growth(lambda body: parsed(parser, body), hostile)


@pytest.mark.parametrize("hostile", QUERIES.values(), ids=QUERIES)
def test_an_address_costs_its_length(hostile: Hostile) -> None:
    def work(query: bytes) -> object:
        return [pixel.body_of(query), question(query), asked_ids(query)]

    check_growth(work, hostile)


@pytest.mark.parametrize("hostile", HEADERS.values(), ids=HEADERS)
def test_a_header_costs_its_length(hostile: Hostile) -> None:
    trusted = TrustedProxies("10.0.0.0/8")

    def work(value: bytes) -> object:
        request = Request({"type": "http", "headers": [(b"cookie", value), (b"if-match", value)]})
        hops = [(b"x-forwarded-for", value), (b"x-forwarded-proto", value)]
        return [
            read_cookie(request, "cairn"),
            request.headers.get("if-match"),
            caller_of("10.0.0.1", hops, trusted),
        ]

    check_growth(work, hostile)


def selected(text: str) -> None:
    with suppress(SelectorNotAccepted):
        read_selector.__wrapped__(text).matches(Element(hierarchy="@a;|@b;.c;|", tag="b"))


# What each reads of a text: some are cut before, and then held to the limit's work.
READERS: dict[str, tuple[Callable[[str], object], int]] = {
    "mask_text": (mask_text, 10**9),
    "mask_url": (mask_url, 10**9),
    "a mask's own limit": (mask_text, LONGEST_TEXT),
    "an element": (lambda text: element_of(text, text, text, text, text, text, text, {text: text}), 10**9),
    "a landing": (
        lambda text: landing_facts.__wrapped__(Landing(text, text, text, (text,) * 5, text)),
        LONGEST_TEXT,
    ),
    "a user agent": (device_facts.__wrapped__, 10**9),
    "a bot": (is_bot.__wrapped__, 10**9),
    "a device's type": (device_type, 10**9),
    "a selector": (selected, 1_000),
    "what is shown of a refused request": (redacted, 10**9),
}


@pytest.mark.parametrize("hostile", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize(("reader", "longest"), READERS.values(), ids=READERS)
def test_a_text_costs_its_length(reader: Callable[[str], object], longest: int, hostile: Hostile) -> None:
    check_growth(lambda text: str(reader(text.decode(errors="replace")[:longest])), hostile)

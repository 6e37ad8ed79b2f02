"""Heap's classic browser script: everything in the address of an image. The arrival's body is the query string.

Source: contracts/heap.md section 5.4. One result per event, in order; nothing here raises.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl

from msgspec import Struct

from cairn.event import Arrival, Draft, Element, Kind, Refused, Scalar
from cairn.outcomes import Reason
from cairn.wire.heap_event import checked_name
from cairn.wire.heap_facts import Masks
from cairn.wire.heap_user import any_id, check_environment, identity_of, moment_ms, user_changes, user_id_of
from cairn.wire.hierarchy import element_of, without_text
from cairn.wire.masking import cut
from cairn.wire.properties import joined_scalars
from cairn.wire.reading import safe_text
from cairn.wire.refusal import Rejected, refused
from cairn.wire.users import LONGEST_ID, check_identity

MOST_PARAMETERS = 20_000  # of one call; the length of a request's line is limited before

# Of the properties that all events of one call share (`k`), times the events: each event gets a copy of its own.
_MOST_SHARED = 20_000
_INDEXED = re.compile(r"(id|ts|[tncihyxk])([0-9]{1,3})")
_INTERACTIONS = frozenset((Kind.CLICK, Kind.CHANGE, Kind.SUBMIT, Kind.TOUCH))

# Short keys of session properties (`sp`), of pageview properties (`pp`) and of the pageview call itself.
_SESSION_FACTS = {
    "r": "referrer",
    "e": "search_keyword",
    "us": "utm_source",
    "um": "utm_medium",
    "ut": "utm_term",
    "uc": "utm_content",
    "ua": "utm_campaign",
    "d": "landing_domain",
    "h": "landing_path",
    "q": "landing_query",
    "g": "landing_hash",
}
_PAGE_FACTS = {"d": "domain", "h": "path", "q": "query", "g": "hash", "t": "title", "pr": "previous_path"}
_IOS_FACTS = {
    "m": "device",
    "p": "platform",
    "vid": "device_id",
}  # further ones of the iOS client's pageview call
_PLAIN_FACTS = frozenset(("domain", "landing_domain", "device", "device_id", "platform"))
_CAMPAIGN_FACTS = frozenset(("utm_source", "utm_medium", "utm_term", "utm_content", "utm_campaign"))
_TEXT_FACTS = frozenset(("title", "search_keyword"))

Parsed = list[Draft | Refused]


class _Call(Struct, frozen=True):
    """One request: its parameters, and what all its events share."""

    arrival: Arrival
    single: Mapping[str, str]  # the first value of each name
    lists: Mapping[str, Sequence[str]]
    user_id: int
    identity: str
    detail: str
    sent_ms: int
    masks: Masks


def parse_h(arrival: Arrival) -> Parsed:
    """A pageview, or events with a running number."""
    try:
        call = _opened(arrival)
        events = _numbered(call.single)
        if not events and not any(name in call.single for name in ("h", "d", "v")):
            raise Rejected(Reason.EMPTY_BATCH, "the query: holds neither a pageview (h) nor events (t0, ...)")
        if len(events) * len(call.lists.get("k", ())) > 2 * _MOST_SHARED:
            raise Rejected(
                Reason.TOO_MANY_EVENTS, f"k: over {_MOST_SHARED} properties, counted in each event"
            )
    except Rejected as rejected:
        return [refused(arrival, rejected, arrival.body)]
    if not events:
        return [_one(call, lambda: _pageview(call))]
    page = _page_facts(_pairs(call.lists.get("pp", ())), call.masks)
    session = _session_facts(call)
    return [
        _one(call, _EventOf(call, number, events[number], {**session, **page})) for number in sorted(events)
    ]


def parse_identify(arrival: Arrival) -> Parsed:
    def build(call: _Call) -> Draft:
        identity = call.single.get("i", "")
        if not identity:
            raise Rejected(Reason.NO_USER, "i: is missing; send the identity")
        return _draft(
            call,
            Kind.IDENTIFY,
            "Identify",
            identity=check_identity(identity, "i"),
            time_ms=call.arrival.received_ms,
        )

    return _single(arrival, build)


def parse_add_user_properties(arrival: Arrival) -> Parsed:
    def build(call: _Call) -> Draft:
        parameters = {name[1:]: value for name, value in call.single.items() if name[:1] == "_"}
        changes = user_changes(parameters)
        return _draft(
            call,
            Kind.IDENTIFY,
            "Set properties",
            time_ms=call.arrival.received_ms,
            properties=dict(changes),
            user_properties=changes,
        )

    return _single(arrival, build)


class _EventOf:
    """Builds one numbered event. A class, because a closure in a loop would see the last number only."""

    def __init__(self, call: _Call, number: int, given: Mapping[str, str], facts: dict[str, str]) -> None:
        self._call, self._number, self._given, self._facts = call, number, given, facts

    def __call__(self) -> Draft:
        call, given = self._call, self._given
        kind = given.get("t", "")
        lists = [call.lists.get("k", ()), call.lists.get(f"k{self._number}", ())]
        properties = {key: value for pairs in lists for key, value in _pairs(pairs).items()}
        is_interaction = kind in _INTERACTIONS
        return _draft(
            call,
            kind if is_interaction else Kind.CUSTOM,
            checked_name(kind),
            key=given.get("id", ""),
            time_ms=moment_ms(given.get("ts"), call.arrival.received_ms),
            facts=self._facts,
            properties=joined_scalars(properties),
            element=without_text(_element(given)) if kind == Kind.CHANGE else _element(given),
        )


def _single(arrival: Arrival, build: Callable[[_Call], Draft]) -> Parsed:
    try:
        return [build(_opened(arrival))]
    except Rejected as rejected:
        return [refused(arrival, rejected, arrival.body)]


def _one(call: _Call, build: Callable[[], Draft]) -> Draft | Refused:
    try:
        return build()
    except Rejected as rejected:
        user = call.identity or str(call.user_id)
        return refused(call.arrival, rejected, call.arrival.body, user=user)


def _opened(arrival: Arrival) -> _Call:
    """Raises Rejected."""
    try:
        pairs = parse_qsl(
            arrival.body.decode("utf-8", "replace"),
            keep_blank_values=True,
            max_num_fields=MOST_PARAMETERS,
            errors="replace",
        )
    except ValueError as error:
        raise Rejected(Reason.TOO_MANY_EVENTS, f"the query: over {MOST_PARAMETERS} parameters") from error
    lists: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in pairs:
        lists[safe_text(name)].append(safe_text(value))
    single = {name: values[0] for name, values in lists.items()}
    check_environment(single.get("a", ""), arrival.extra.get("app_id", ""))
    identity, detail = identity_of(single.get("i", ""))
    sent = single.get("st", "")
    sent_ms = int(sent) if sent.isascii() and sent.isdecimal() and len(sent) < 16 else 0
    return _Call(
        arrival, single, lists, user_id_of(single.get("u", ""), "u"), identity, detail, sent_ms, Masks()
    )


def _numbered(single: Mapping[str, str]) -> dict[int, dict[str, str]]:
    """Parameters with a running number, by it. An event is what has a type; others are noise."""
    by_event: defaultdict[int, dict[str, str]] = defaultdict(dict)
    for name, value in single.items():
        if match := _INDEXED.fullmatch(name):
            by_event[int(match[2])][match[1]] = value
    return {number: parameters for number, parameters in by_event.items() if "t" in parameters}


def _pageview(call: _Call) -> Draft:
    single = call.single
    facts = {**_session_facts(call), **_page_facts(single, call.masks)}
    if single.get("b") == "ios":
        facts.pop("hash", None)  # there `g` is something else
    if "referrer" not in facts and single.get("r"):
        facts["referrer"] = call.masks.url(single["r"])
    return _draft(
        call,
        Kind.PAGEVIEW,
        Kind.PAGEVIEW,
        key=single.get("v", ""),
        time_ms=moment_ms(single.get("ts"), call.arrival.received_ms),
        facts=facts,
        properties=joined_scalars(_pairs(call.lists.get("k", ()))),
    )


def _session_facts(call: _Call) -> dict[str, str]:
    facts = _facts(_pairs(call.lists.get("sp", ())), _SESSION_FACTS, call.masks)
    library = call.single.get("b", "")
    if library == "ios":
        facts.update(_facts(call.single, _IOS_FACTS, call.masks))
    elif library:
        facts["platform"] = cut(library)
    return facts


def _page_facts(parameters: Mapping[str, str], masks: Masks) -> dict[str, str]:
    return _facts(parameters, _PAGE_FACTS, masks)


def _facts(parameters: Mapping[str, str], names: Mapping[str, str], masks: Masks) -> dict[str, str]:
    facts = {}
    for short, name in names.items():
        if value := parameters.get(short):
            if name in _PLAIN_FACTS:
                facts[name] = cut(value)
            elif name in _CAMPAIGN_FACTS:
                facts[name] = masks.known(value)
            else:
                facts[name] = masks.text(value) if name in _TEXT_FACTS else masks.url(value)
    return facts


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    """A flattened list: key, value, key, value."""
    return dict(zip(flat[0::2], flat[1::2], strict=False))


def _element(parameters: Mapping[str, str]) -> Element | None:
    if not any(parameters.get(name) for name in "ny"):
        return None
    return element_of(
        parameters.get("y", ""),
        parameters.get("n", ""),
        parameters.get("i", ""),
        parameters.get("c", ""),
        parameters.get("x", ""),
        parameters.get("h", ""),
    )


def _draft(
    call: _Call,
    kind: str,
    name: str,
    *,
    time_ms: int,
    identity: str = "",
    key: str = "",
    facts: dict[str, str] | None = None,
    properties: dict[str, Scalar] | None = None,
    user_properties: dict[str, Scalar] | None = None,
    element: Element | None = None,
) -> Draft:
    arrival, single = call.arrival, call.single
    identity = identity or call.identity
    return Draft(
        arrival.environment_id,
        kind,
        name,
        time_ms,
        arrival.received_ms,
        user_id=call.user_id,
        identity=identity,
        merge_user_id=call.user_id if identity else 0,
        key_space=f"heap.web/{arrival.environment_id}",
        key=key,
        sent_ms=call.sent_ms,
        session_id=any_id(single.get("s", "")),
        pageview_id=any_id(single.get("v", "")),
        properties=properties or {},
        facts=facts or {},
        element=element,
        user_properties=user_properties or {},
        source=arrival.source,
        library=single.get("b", "")[:LONGEST_ID],
        ip=arrival.ip,
        user_agent=arrival.user_agent,
        detail=call.detail,
    )

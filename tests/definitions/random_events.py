"""Random captured events and random definitions of them."""

from hypothesis import strategies as st

from cairn.conditions.check import ConditionNotAccepted, check_filter
from cairn.conditions.tree import PropertyFilter
from cairn.definitions.model import Definition, Part
from cairn.event import Draft, Element
from tests.segments.histories import NOW_MS, PATTERNS, VALUES, times

KINDS = ["click", "change", "submit", "touch", "pageview", "custom", "identify", "exposure", "session"]
TAGS, IDS, CLASSES = (
    ["div", "form", "button", "a"],
    ["", "root", "main"],
    ["btn", "btn-primary", "card", "big"],
)
TEXTS = ["", "Buy", "buy", "Sign up", "Kauf \U0001f600", "a\nb", "10", "9.5", "0"]
SELECTORS = [
    "",
    "",
    "button",
    ".btn",
    "#root .btn",
    "#root > .btn",
    "form button",
    "div > *",
    ":not(.btn)",
    "html *",
    "a:nth-child(2n+1)",
    ":is(a, button).big",
    "[type=submit]",
    "[href^='/q']",
    ".card > form > a",
    "body > .card",
    "a, button.btn",
    "a:not(form a)",
    "[class*=prim]",
    "[class~=big]:first-child",
]
ELEMENT_TESTS = ["text", "href", "label", "tag", "dom_id", "classes"]
FACT_TESTS = ["path", "domain", "title", "query", "country", "plan", "source"]


def node(tag: str, dom_id: str, classes: set[str]) -> str:
    return f"@{tag};" + (f"#{dom_id};" if dom_id else "") + "".join(f".{name};" for name in sorted(classes))


nodes = st.builds(
    node, st.sampled_from(TAGS), st.sampled_from(IDS), st.sets(st.sampled_from(CLASSES), max_size=2)
)


@st.composite
def elements(draw: st.DrawFn) -> Element:
    above = draw(st.lists(nodes, max_size=3))
    tag, classes = draw(st.sampled_from(TAGS)), draw(st.sets(st.sampled_from(CLASSES), max_size=3))
    href = draw(st.sampled_from(["", "/q?a=1", "/x"])) if tag == "a" else ""
    kind = "[type=submit];" if tag == "button" and draw(st.booleans()) else ""
    own = (
        f"@{tag};"
        + "".join(f".{name};" for name in sorted(classes))
        + (f"[href={href}];" if href else "")
        + kind
    )
    nth = draw(st.sampled_from(["", "1", "2", "3", "x"]))
    return Element(
        "".join(f"{node}|" for node in [*above, own]),
        tag,
        "",
        " ".join(sorted(classes)),
        draw(st.sampled_from(TEXTS)),
        href,
        draw(st.sampled_from(["", "Close"])),
        {"nth": nth} if nth else {},
    )


SHAPES = st.lists(elements(), min_size=1, max_size=6)


@st.composite
def drafts(draw: st.DrawFn) -> list[Draft]:
    shapes = draw(SHAPES)
    texts = st.sampled_from([*TEXTS, "/q", "shop.test"])
    found = []
    for number in range(draw(st.integers(0, 14))):
        kind = draw(st.sampled_from(KINDS))
        found.append(
            Draft(
                0,
                kind,
                draw(st.sampled_from(["", "Order", "Buy"])),
                draw(times),
                NOW_MS,
                user_id=draw(st.integers(1, 5)),
                event_id=number,
                source=draw(st.sampled_from(["", "web"])),
                properties=draw(
                    st.dictionaries(st.sampled_from(["plan", "path", "title", "text"]), texts, max_size=2)
                ),
                facts=draw(st.dictionaries(st.sampled_from(["path", "domain", "title"]), texts, max_size=2)),
                element=draw(st.sampled_from([None, *shapes])) if kind in KINDS[:5] else None,
            )
        )
    return found


def tests(keys: list[str]) -> st.SearchStrategy[PropertyFilter]:
    key = st.sampled_from(keys)
    value = st.sampled_from([*TEXTS, *VALUES[:12], "/q", "shop.test", "button", "btn"])
    plain = [
        "is",
        "is_not",
        "contains",
        "does_not_contain",
        "starts_with",
        "ends_with",
        "greater",
        "at_most",
        "is_set",
        "is_not_set",
    ]
    return st.one_of(
        st.builds(PropertyFilter, key, st.sampled_from(plain), value).filter(is_accepted),
        st.builds(PropertyFilter, key, st.just("matches"), st.sampled_from(PATTERNS)),
        st.builds(
            lambda key, operator, many: PropertyFilter(key, operator, values=tuple(many)),
            key,
            st.sampled_from(["in", "not_in"]),
            st.lists(value, min_size=1, max_size=3),
        ),
    )


def is_accepted(test: PropertyFilter) -> bool:
    try:
        check_filter(test, "")
    except ConditionNotAccepted:
        return False
    return True


@st.composite
def parts(draw: st.DrawFn) -> Part:
    kind = draw(st.sampled_from(["any", "pageview", "click", "click", "change", "submit", "touch", "custom"]))
    on_element = kind not in ("pageview", "custom")
    return Part(
        kind,
        draw(st.sampled_from(["", "Order", "Buy"])) if kind == "custom" else "",
        draw(st.sampled_from(SELECTORS)) if on_element else "",
        tuple(
            draw(st.lists(tests(FACT_TESTS + ["text"] + (ELEMENT_TESTS if on_element else [])), max_size=2))
        ),
    )


definitions = st.builds(Definition, st.lists(parts(), min_size=1, max_size=3).map(tuple))
outer_filters = st.lists(tests(["text", "path", "plan"]), max_size=1).map(tuple)

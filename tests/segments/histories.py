"""Random histories and random conditions, full of edges: window limits to the millisecond, odd text, merged users."""

from hypothesis import strategies as st

from cairn.conditions.tree import (
    UNIT_MS,
    And,
    Between,
    Condition,
    Did,
    EventMatch,
    Last,
    Not,
    Or,
    PropertyFilter,
    UserProperty,
)
from cairn.event import Draft
from cairn.store.store import PropertyChange
from tests.segments.oracle import History

NOW_MS = 1_772_539_445_678  # a moment with every digit in use
FIXED = Between(NOW_MS - 86_400_000, NOW_MS + 5)
WINDOWS: list[Last | Between | None] = [
    None,
    Last(1, "minute"),
    Last(30, "day"),
    Last(2, "hour"),
    Last(1, "week"),
    FIXED,
    Between(NOW_MS - 10, NOW_MS - 5),
]
EDGES = [0] + [w.amount * UNIT_MS[w.unit] for w in WINDOWS if isinstance(w, Last)] + [86_400_000, 10, 5]
USERS = [1, 2, 3, 4, 5, 2**53 - 1]
NAMES = ["Order Completed", "Order", "", "Bestellung ü😀", "a'b\\", "\t{x:String}"]
KINDS = ["custom", "custom", "custom", "click", "pageview", "identify", "exposure"]
KEYS = ["plan", "age", "größe", "it's \\ {k:String}", "source", "library"]
USER_KEYS = ["plan", "age", "größe", "it's \\ {k:String}", "identity"]
VALUES = [
    "",
    "premium",
    "Premium",
    "pre",
    "10",
    "9",
    "9.5",
    "1e1",
    "-3",
    "010",
    " 10",
    "10 ",
    "+10",
    "inf",
    "NaN",
    "-inf",
    "1e999",
    "0x10",
    "1_0",
    ".5",
    "5.",
    "1,5",
    "true",
    "é",
    "e\u0301",
    "😀",
    "'",
    "\\",
    "\n",
    "a\nb",
    "a\0b",
    "\t",
    "%",
    "_",
    "null",
    "0",
    "-0",
    "0.1",
    "9007199254740993",
    "premium\n",
    "{v:String}",
    "٣",
]
PATTERNS = [
    "^pre",
    "mium$",
    "a.b",
    "^[0-9]+$",
    "(?i)PRE",
    "^$",
    "é|😀",
    "a|c",
    ".",
    r"\.",
    r"\\",
    "(pre)+",
    "x*",
    "^.$",
]

values = st.sampled_from(VALUES) | st.text(st.characters(codec="utf-8"), max_size=4)
times = st.one_of(
    st.builds(
        lambda edge, step: NOW_MS - edge + step, st.sampled_from(EDGES), st.sampled_from([-1, 0, 1, 4, 5])
    ),
    st.integers(NOW_MS - 40 * 86_400_000, NOW_MS + 86_400_000),
)
event_properties = st.dictionaries(
    st.sampled_from(KEYS[:4]), values | st.integers(-20, 20) | st.booleans(), max_size=2
)


def text_tests(kind: type[UserProperty] | type[PropertyFilter], keys: list[str]) -> st.SearchStrategy:
    key = st.sampled_from(keys)
    plain = st.sampled_from(
        [
            "is",
            "is_not",
            "contains",
            "does_not_contain",
            "starts_with",
            "ends_with",
            "greater",
            "at_least",
            "less",
            "at_most",
            "is_set",
            "is_not_set",
        ]
    )
    return st.one_of(
        st.builds(kind, key, plain, values),
        st.builds(kind, key, st.just("matches"), st.sampled_from(PATTERNS)),
        st.builds(
            lambda key, operator, many: kind(key, operator, values=tuple(many)),
            key,
            st.sampled_from(["in", "not_in"]),
            st.lists(values, max_size=3),
        ),
    )


event_matches = st.builds(
    EventMatch,
    st.sampled_from([*KINDS, ""]),
    st.sampled_from(["", *NAMES]),
    st.lists(text_tests(PropertyFilter, KEYS), max_size=2).map(tuple),
)
dids = st.builds(
    Did,
    st.builds(EventMatch, st.sampled_from(["custom", ""]), st.sampled_from(["", *NAMES[:2]])) | event_matches,
    st.sampled_from(["at_least", "at_most", "exactly", "more_than", "less_than"]),
    st.integers(0, 3),
    st.sampled_from(WINDOWS),
)
conditions: st.SearchStrategy[Condition] = st.recursive(
    dids | text_tests(UserProperty, USER_KEYS),
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=5,
)


@st.composite
def histories(draw: st.DrawFn) -> History:
    history = History()
    for number, (user, kind, name, time_ms, facts, source) in enumerate(
        draw(
            st.lists(
                st.tuples(
                    st.sampled_from(USERS),
                    st.sampled_from(KINDS),
                    st.sampled_from(NAMES),
                    times,
                    event_properties,
                    st.sampled_from(["", "web"]),
                ),
                max_size=14,
            )
        )
    ):
        history.events.append(
            Draft(
                0,
                kind,
                name,
                time_ms,
                NOW_MS,
                user_id=user,
                event_id=number,
                properties=facts,
                source=source,
                library=source and "a.js",
            )
        )
    writes = draw(
        st.lists(
            st.tuples(st.sampled_from(USERS), st.sampled_from(["plan", *USER_KEYS]), values), max_size=12
        )
    )
    for number, (user, key, value) in enumerate(draw(st.permutations(writes))):
        history.properties.append(PropertyChange(0, user, key, value, NOW_MS, (NOW_MS << 22) + number))
    for raw in draw(st.sets(st.sampled_from(USERS[1:]), max_size=3)):
        into = draw(st.sampled_from(USERS))
        if into != raw:
            history.merged[raw] = into
    # a canonical user is never merged itself: merges lead there in one step
    history.merged = {raw: into for raw, into in history.merged.items() if into not in history.merged}
    return history

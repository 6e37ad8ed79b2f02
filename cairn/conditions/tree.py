"""The one condition language: a tree of plain values.

Filters, segments and flag audiences are this tree. Its outlets are beside it: `to_sql` (segments, analysis),
`evaluate` (flags in Python), `to_wingify` and `from_wingify` (settings files). A leaf that an outlet cannot express
is refused by that outlet with InvalidInput naming the leaf; it is never dropped.
"""

from typing import Literal

from msgspec import Struct

from cairn.ids import RowId

Unit = Literal["minute", "hour", "day", "week"]
UNIT_MS: dict[str, int] = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000, "week": 604_800_000}

TextOperator = Literal[
    "is",
    "is_not",
    "contains",
    "does_not_contain",
    "starts_with",
    "ends_with",
    "matches",
    "greater",
    "at_least",
    "less",
    "at_most",
    "is_set",
    "is_not_set",
    "in",
    "not_in",
]
CountOperator = Literal["at_least", "at_most", "exactly", "more_than", "less_than"]


class Node(Struct, frozen=True, tag_field="type", forbid_unknown_fields=True):
    """Any condition. JSON: an object whose `type` names the node."""


class And(Node, frozen=True, tag="and"):
    """All of them. An empty one holds for everybody."""

    nodes: tuple["Condition", ...]


class Or(Node, frozen=True, tag="or"):
    """Any of them. An empty one holds for nobody."""

    nodes: tuple["Condition", ...]


class Not(Node, frozen=True, tag="not"):
    node: "Condition"


class UserProperty(Node, frozen=True, tag="user_property"):
    """A fact about the user: the newest value across everything merged into them.

    Negative operators hold for users without the property: `is_not` is exactly not `is`.
    Ordering operators compare numbers and never hold for a value that is not one.
    """

    key: str
    operator: TextOperator
    value: str = ""
    values: tuple[str, ...] = ()  # for in, not_in


class PropertyFilter(Struct, frozen=True, forbid_unknown_fields=True):
    """A fact about one event, inside `Did`. Same operators and meaning as UserProperty."""

    key: str  # a property's name, or a built-in: path, domain, title, browser, os, country, source, library, ...
    operator: TextOperator
    value: str = ""
    values: tuple[str, ...] = ()


class EventMatch(Struct, frozen=True, forbid_unknown_fields=True):
    """Which events count. An empty name means any name of that kind; an empty kind any behaviour.

    `defined` is the id of a defined event (`definitions`), which says kind and name itself; filters narrow it further.
    """

    kind: str = "custom"
    name: str = ""
    filters: tuple[PropertyFilter, ...] = ()
    defined: RowId = 0


class ElementMatch(Struct, frozen=True):
    """One of the ways to be a defined event, in one environment. Empty kind and name as in EventMatch."""

    kind: str = ""
    name: str = ""
    elements: tuple[int, ...] | None = None  # the shapes that count; None: whatever it was done to
    filters: tuple[PropertyFilter, ...] = ()


class ResolvedMatch(EventMatch, frozen=True):
    """A defined event as it stands in one environment now: any of these. Made by `definitions`, never from JSON."""

    any_of: tuple[ElementMatch, ...] = ()


class Last(Struct, frozen=True, tag_field="type", tag="last", forbid_unknown_fields=True):
    """A rolling window: event time in (now - amount * unit, now]."""

    amount: int
    unit: Unit


class Between(Struct, frozen=True, tag_field="type", tag="between", forbid_unknown_fields=True):
    """A fixed window: event time in [from_ms, to_ms), epoch milliseconds."""

    from_ms: int
    to_ms: int


class Did(Node, frozen=True, tag="did"):
    """The user did the event so many times. "Did not" is `exactly 0`; without a window: ever, up to now."""

    event: EventMatch
    operator: CountOperator = "at_least"
    count: int = 1
    window: Last | Between | None = None


class Attribute(Node, frozen=True, tag="attribute"):
    """A custom variable that the application passes with the flag question (Wingify: custom_variable).

    `operand` is Wingify's operand text, kept to the letter when it was imported and has no operator of ours.
    """

    name: str
    operator: Literal[
        "is",
        "is_ignoring_case",
        "contains",
        "starts_with",
        "ends_with",
        "matches",
        "greater",
        "at_least",
        "less",
        "at_most",
        "operand",
    ]
    value: str


class InList(Node, frozen=True, tag="in_list"):
    """A custom variable's value is in an attribute list: a segment's (by `segment_id`), or a list of its own."""

    attribute: str
    segment_id: RowId = 0
    list_id: str = ""


class Visitor(Node, frozen=True, tag="visitor"):
    """The id of the flag's context is one of these (Wingify: user)."""

    ids: str  # comma separated, as Wingify writes it


class Location(Node, frozen=True, tag="place"):
    """Where the visitor is, by the gateway's location data."""

    key: Literal["country", "region", "city"]
    value: str


class Device(Node, frozen=True, tag="device"):
    """What the visitor uses, by the gateway's reading of the user agent, or the raw address and agent."""

    key: Literal[
        "os", "browser_string", "device_type", "device", "browser_version", "os_version", "ip_address", "ua"
    ]
    value: str


class OtherFlag(Node, frozen=True, tag="other_flag"):
    """Another flag was decided on, or off, for this visitor (Wingify: featureId)."""

    flag_id: RowId
    state: Literal["on", "off"]


Leaf = UserProperty | Did | Attribute | InList | Visitor | Location | Device | OtherFlag
Condition = And | Or | Not | Leaf
EVERYBODY = And(())
# Stands for a stored condition that cannot be read; none is saved like this.
NOBODY = Or(())

"""What a flag is, and everything one environment needs to decide its flags: the `Ruleset`. Plain frozen values.

Identifiers at the wire: a rule made here is a campaign of its own, numbered by its rule id and keyed
`<flagKey>_<ruleKey>`, and its variations carry the flag's variation ids; so an exposure names rule and variation.
Rules that were imported keep the campaign and variation numbers of their document.
"""

from typing import Any, Literal

from msgspec import Struct

from cairn.conditions.tree import EVERYBODY, Condition
from cairn.ids import RowId

VariableType = Literal["string", "integer", "double", "boolean", "json"]
RuleKind = Literal["rollout", "testing", "personalise"]
Value = Any  # Any: what the variable's type says: text, number, boolean or a JSON object


class Variable(Struct, frozen=True, forbid_unknown_fields=True):
    """A typed value that a flag carries, with its default."""

    id: RowId
    key: str
    type: VariableType
    value: Value


class Variation(Struct, frozen=True, forbid_unknown_fields=True):
    """One set of values. A variable without a value here has its default."""

    id: RowId
    key: str
    name: str = ""
    values: dict[str, Value] = {}  # by variable key


class Metric(Struct, frozen=True, forbid_unknown_fields=True):
    """An event that counts for a flag. An SDK sends only events that are metrics of some flag."""

    id: RowId
    identifier: str  # the event's name
    type: str = "CUSTOM_GOAL"  # or REVENUE_TRACKING
    has_props: bool = False
    revenue_prop: str = ""


class Allocation(Struct, frozen=True, forbid_unknown_fields=True):
    """How many of a rule's users get this variation, in percent. A rollout or personalise rule has exactly one."""

    variation_id: RowId
    weight: float = 100
    number: RowId = 0  # the variation's number at the wire; 0: its id


class Forced(Struct, frozen=True, forbid_unknown_fields=True):
    """Whitelisting of a testing rule: whom the condition holds for gets the variation, whatever the traffic."""

    variation_id: RowId
    condition: Condition


class Rule(Struct, frozen=True, forbid_unknown_fields=True):
    """Who gets which variation of a flag in one environment."""

    id: int
    kind: RuleKind
    key: str
    name: str = ""
    is_on: bool = True
    condition: Condition = EVERYBODY
    traffic: float = 100  # percent of those the condition holds for
    allocations: tuple[Allocation, ...] = ()
    salt: str = ""  # rules with the same salt split users alike
    whitelist: tuple[Forced, ...] = ()
    campaign_number: int = 0  # of an imported rule; 0: its id
    campaign_key: str = ""  # of an imported rule; empty: <flagKey>_<ruleKey>
    visitor_ids_are_uuids: bool = False  # imported: `Visitor` conditions name visitor UUIDs
    unreadable: str = ""  # why what is stored of it cannot be read, so that it gives nothing; empty: it can

    @property
    def campaign(self) -> int:
        """The number an exposure names this rule by."""
        return self.campaign_number or self.id

    @property
    def group_key(self) -> str:
        """How a group names this rule: a testing rule by its campaign, a personalise rule also by its variation."""
        if self.kind == "testing":
            return str(self.campaign)
        return f"{self.campaign}_{wire_number(self.allocations[0])}"


def wire_number(allocation: Allocation) -> int:
    """The number an exposure names this variation by."""
    return allocation.number or allocation.variation_id


class Group(Struct, frozen=True, forbid_unknown_fields=True):
    """Testing and personalise rules of which a user gets at most one.

    `random`: equal chances among the eligible. `advanced`: the first of `priority` that is eligible, else by weight.
    """

    id: int
    name: str
    kind: Literal["random", "advanced"] = "random"
    rule_ids: tuple[int, ...] = ()
    priority: tuple[int, ...] = ()  # rule ids
    weights: dict[int, float] = {}  # rule id -> weight


class Holdout(Struct, frozen=True, forbid_unknown_fields=True):
    """Users who get no flag (`is_global`), or none of some flags, so that the sum of all changes can be measured."""

    id: int
    name: str
    condition: Condition = EVERYBODY
    traffic: float = 0  # percent
    is_global: bool = True
    flag_ids: tuple[int, ...] = ()
    metrics: tuple[Metric, ...] = ()


class Flag(Struct, frozen=True, forbid_unknown_fields=True):
    """A switch with typed values. `is_on` and `rules` are one environment's."""

    id: int
    key: str
    name: str = ""
    description: str = ""
    lifetime: Literal["permanent", "temporary"] = "permanent"
    variables: tuple[Variable, ...] = ()
    variations: tuple[Variation, ...] = ()
    metrics: tuple[Metric, ...] = ()
    is_on: bool = False
    rules: tuple[Rule, ...] = ()
    unreadable: dict[str, str] = {}  # parts that cannot be read, and are empty here: name -> why

    def variation(self, variation_id: int) -> Variation | None:
        return next((variation for variation in self.variations if variation.id == variation_id), None)

    def values_of(self, variation: Variation) -> dict[str, Value]:
        """Every variable's value in this variation, in the flag's order."""
        return {
            variable.key: variation.values.get(variable.key, variable.value) for variable in self.variables
        }


class LeftOut(Struct, frozen=True):
    """A flag that cannot be read: nobody can say what it gives."""

    why: str
    is_on: bool


class Ruleset(Struct, frozen=True):
    """Everything one environment needs to decide its flags. `InList` leaves carry their list's id."""

    account_id: int
    environment_id: int = 0
    flags: tuple[Flag, ...] = ()
    groups: tuple[Group, ...] = ()
    holdouts: tuple[Holdout, ...] = ()
    folding_lists: frozenset[str] = frozenset()  # lists that ignore case
    inlines_lists: bool = True  # Python's settings file may hold the values of lists
    left_out: dict[str, LeftOut] = {}  # flags that cannot be read, by key
    # Groups and holdouts that cannot be read: without them nothing may be published.
    unknown: tuple[str, ...] = ()

    def flag(self, key: str) -> Flag | None:
        return next((flag for flag in self.flags if flag.key == key), None)

"""Flags that Python's SDK asks for without getting the lists their conditions ask about, because a switch is off.

Node asks the gateway about a value; Python needs the whole list in its settings file, where anyone with the SDK key can
read it. So each environment has a switch.
"""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from msgspec import Struct

from cairn.app.call import Call
from cairn.conditions.tree import Condition, InList
from cairn.conditions.walk import leaves
from cairn.flags.model import Flag, Rule, Ruleset
from cairn.flags.ruleset import load_ruleset
from cairn.members.askers import python_asked_on
from cairn.members.sets import list_set
from cairn.workspace.environment import Environment

ASKED_WITHIN = timedelta(days=30)  # as long as Cairn says of other clients that it has heard from them


class WithheldLists(Struct, frozen=True):
    """One flag with lists that Python's SDK does not get."""

    flag_key: str
    attributes: tuple[str, ...]  # the custom variables that are compared with the lists
    values: int  # what the switch would put into the settings file
    too_long: int  # of the lists, those that the switch would not put there
    asked_on: date  # when Python's SDK last asked in the environment

    def __str__(self) -> str:
        named = ", ".join(map(repr, self.attributes))
        return (
            f"Python's SDK asked for settings here on {self.asked_on}; it does not get the list on {named}, because "
            "`inlines_lists` is off in this environment: for Python the condition holds for nobody, in the list or not"
        )


def asks_about_lists(rule: Rule) -> bool:
    conditions = (rule.condition, *(forced.condition for forced in rule.whitelist))
    return any(isinstance(leaf, InList) for condition in conditions for leaf in leaves(condition))


def asked_on(call: Call, environment: Environment) -> date | None:
    """The day on which Python's SDK last asked for settings; None: never since that is kept."""
    return python_asked_on(call.core.members, environment.id)


def withheld_of(call: Call, environment: Environment, flag_key: str) -> WithheldLists | None:
    """Of one flag, whether on or off. None: all is well, or no Python asked within 30 days."""
    if not (day := _lately_asked_on(call, environment)):
        return None
    ruleset = _ruleset(call, environment)
    flag = ruleset.flag(flag_key)
    return _withheld(call, ruleset, flag, flag.rules, day) if flag else None


def withheld_lists(call: Call, environment: Environment) -> list[WithheldLists]:
    """Of the flags and rules that are on, by key."""
    if not (day := _lately_asked_on(call, environment)):
        return []
    ruleset = _ruleset(call, environment)
    found = (
        _withheld(call, ruleset, flag, [rule for rule in flag.rules if rule.is_on], day)
        for flag in ruleset.flags
        if flag.is_on
    )
    return [withheld for withheld in found if withheld]


def _lately_asked_on(call: Call, environment: Environment) -> date | None:
    if environment.inlines_lists:
        return None
    day = asked_on(call, environment)
    return day if day and call.now.date() - day <= ASKED_WITHIN else None


def _ruleset(call: Call, environment: Environment) -> Ruleset:
    with call.reading() as connection:
        return load_ruleset(connection, environment.id)


def _withheld(
    call: Call, ruleset: Ruleset, flag: Flag, rules: Iterable[Rule], day: date
) -> WithheldLists | None:
    asking = [
        leaf
        for condition in _conditions(ruleset, flag, rules)
        for leaf in leaves(condition)
        if isinstance(leaf, InList)
    ]
    if not asking:
        return None
    lists = {leaf.list_id for leaf in asking if leaf.list_id}
    sizes = [call.core.members.size(list_set(list_id)) for list_id in lists]
    fitting = [size for size in sizes if size <= call.core.settings.inline_limit]
    attributes = tuple(sorted({leaf.attribute for leaf in asking}))
    return WithheldLists(flag.key, attributes, sum(fitting), len(sizes) - len(fitting), day)


def _conditions(ruleset: Ruleset, flag: Flag, rules: Iterable[Rule]) -> Iterator[Condition]:
    for rule in rules:
        yield rule.condition
        yield from (forced.condition for forced in rule.whitelist)
    for holdout in ruleset.holdouts:
        if holdout.is_global or flag.id in holdout.flag_ids:
            yield holdout.condition

"""What SDKs cannot decide of a flag as it is defined: for its page and for the API's answers, from one place.

The flag and its rules are taken as switched on: it is said when a rule is made, not when it begins to matter.
"""

from msgspec import Struct, structs

from cairn.app.call import Call
from cairn.app.core import Core
from cairn.app.python_lists import WithheldLists, asks_about_lists, withheld_of
from cairn.errors import CairnError
from cairn.flags.model import Flag, Ruleset
from cairn.flags.ruleset import load_ruleset
from cairn.flags.settings_file import compile_settings, named
from cairn.members.sets import list_set
from cairn.workspace.environment import Environment


class FlagWarnings(Struct, frozen=True):
    flag: tuple[str, ...] = ()  # of the flag as a whole
    rules: dict[int, tuple[str, ...]] = {}  # rule id -> its own
    withheld: WithheldLists | None = None  # the page tells it with a link to the switch
    asking: frozenset[int] = frozenset()  # rules that ask about a list

    @property
    def of_definition(self) -> tuple[str, ...]:
        """All but what a switch of the environment withholds."""
        own = (text for texts in self.rules.values() for text in texts)
        return tuple(dict.fromkeys((*self.flag, *own)))

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.of_definition, *self._of_switch)

    def of_rule(self, rule_id: int) -> tuple[str, ...]:
        """Those of the flag are among them: nobody reads the flag while making a rule."""
        of_switch = self._of_switch if rule_id in self.asking else ()
        return (*self.flag, *self.rules.get(rule_id, ()), *of_switch)

    @property
    def _of_switch(self) -> tuple[str, ...]:
        return (str(self.withheld),) if self.withheld else ()


def warnings_of(call: Call, environment: Environment, key: str) -> FlagWarnings:
    """None for an archived flag, which no SDK gets."""
    with call.reading() as connection:
        ruleset = load_ruleset(connection, environment.id)
    if left_out := ruleset.left_out.get(key):
        return FlagWarnings((f"This flag stays for applications as it was published last: {left_out.why}",))
    stored = ruleset.flag(key)
    if stored is None:
        return FlagWarnings()
    if ruleset.unknown:
        why = "; ".join(ruleset.unknown)
        return FlagWarnings(
            (f"No flag can be published here, so applications keep the last good state: {why}",)
        )
    rules = tuple(structs.replace(rule, is_on=True) for rule in stored.rules)
    flag = structs.replace(stored, is_on=True, rules=rules)
    alone = structs.replace(ruleset, flags=(flag,), groups=(), holdouts=())
    withheld = withheld_of(call, environment, key)
    asking = frozenset(rule.id for rule in rules if asks_about_lists(rule))
    try:
        texts = (*_compiled(call.core, alone, "node"), *_compiled(call.core, alone, "python"))
    except CairnError as error:
        return FlagWarnings(
            (f"This flag cannot be published, so applications keep its last good state: {error}",)
        )
    of_rules = _by_rule(flag, tuple(dict.fromkeys(texts)))
    return FlagWarnings(rules=of_rules, withheld=withheld, asking=asking)


def _by_rule(flag: Flag, texts: tuple[str, ...]) -> dict[int, tuple[str, ...]]:
    return {
        rule.id: tuple(text for text in texts if text.startswith(f"{named(flag, rule)}: "))
        for rule in flag.rules
    }


def _compiled(core: Core, ruleset: Ruleset, sdk: str) -> tuple[str, ...]:
    limit = core.settings.inline_limit

    def values(list_id: str) -> list[str]:
        return [value for value, _ in core.members.values(list_set(list_id), limit=limit + 1)]

    return compile_settings(
        ruleset,
        account_id=ruleset.account_id,
        sdk="python" if sdk == "python" else "node",
        poll_interval_ms=core.settings.poll_interval_ms,
        list_values=values,
        inline_limit=limit,
    ).warnings

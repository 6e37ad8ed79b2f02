"""“Try it as somebody”: one flag decided here as the SDKs decide it, told in sentences."""

from typing import Any

import msgspec
from msgspec import Struct

from cairn.app.call import Call
from cairn.app.core import Core
from cairn.conditions.tree import Attribute, InList
from cairn.conditions.walk import leaves
from cairn.errors import InvalidInput
from cairn.flags.context import read_context
from cairn.flags.evaluate import Check, Context, Reason, Resolution, evaluate
from cairn.flags.model import Flag, Ruleset
from cairn.flags.ruleset import load_ruleset
from cairn.ingest.details import details
from cairn.members.sets import list_set
from cairn.workspace.environment import Environment

# Characters. The form sends it in the address, of which servers and proxies read some kilobytes.
LONGEST_CONTEXT = 4_000
CHECKS: dict[Check, str] = {
    Check.NOT_HOLDING: "its audience does not hold",
    Check.OTHER_OF_GROUP: "another rule of its group won",
    Check.OUT_OF_TRAFFIC: "its audience holds, but this user is outside its traffic",
    Check.CHOSEN: "its audience holds, and this user is in its traffic",
    Check.FORCED: "this user is whitelisted",
}
REASONS: dict[Reason, str] = {
    Reason.FLAG_NOT_FOUND: "There is no such flag here.",
    Reason.DISABLED: "The flag is off in this environment.",
    Reason.HOLDOUT: "This user is in a holdout, which keeps flags off to measure their sum.",
    Reason.ROLLOUT: "A rollout rule gives it to this user.",
    Reason.TESTING: "A test drew this variation for this user.",
    Reason.PERSONALISE: "A personalise rule gives this variation to this user.",
    Reason.FORCED: "This user is whitelisted into the variation.",
    Reason.NOT_TARGETED: "No rule is meant for this user.",
    Reason.OUT_OF_TRAFFIC: "A rule is meant for this user, but leaves this one out of its traffic.",
    Reason.ERROR: "A rule cannot be decided.",
}


class Member(Struct, frozen=True):
    """One list the flag asks about, for this somebody."""

    attribute: str
    value: str
    segment_id: int
    since_ms: int | None  # None: not in


class Tried(Struct, frozen=True):
    resolution: Resolution | None  # None: the context could not be read
    sentence: str
    steps: list[tuple[str, str]]  # rule's name, what became of it
    members: list[Member]
    context: dict[str, Any] = {}  # Any: the application's own values
    missing: tuple[str, ...] = ()  # custom variables that rules ask for and the context lacks


def try_flag(call: Call, environment: Environment, key: str, *, somebody: str, context: str) -> Tried:
    """Decide for a user named by identity, who passes it as every custom variable a list is asked about.

    `context`: a pasted JSON context `{id, customVariables}` instead.
    """
    core, now, ruleset = call.core, call.now, _ruleset(call, environment)
    flag = ruleset.flag(key)
    in_lists = _lists(flag)
    try:
        parsed = _context(core, context, somebody, in_lists)
    except InvalidInput as error:
        return Tried(None, str(error), [], [])
    resolution = evaluate(
        ruleset,
        key,
        parsed,
        now=now,
        in_list=lambda list_id, value: core.members.contains(list_set(list_id), value),
    )
    steps = [(step.rule.name or step.rule.key, CHECKS[step.check]) for step in resolution.steps]
    members = [_member(core, leaf, parsed) for leaf in in_lists if leaf.attribute in parsed.attributes]
    sentence = f"{REASONS[resolution.reason]} {resolution.detail}".strip()
    return Tried(resolution, sentence, steps, members, _shown(parsed), _missing(flag, parsed))


def _missing(flag: Flag | None, context: Context) -> tuple[str, ...]:
    """The SDKs say nothing of these: a condition on a variable that is not passed just does not hold."""
    variables = [
        leaf.attribute if isinstance(leaf, InList) else leaf.name
        for rule in (flag.rules if flag else ())
        for leaf in leaves(rule.condition)
        if isinstance(leaf, InList | Attribute)
    ]
    return tuple(name for name in dict.fromkeys(variables) if name not in context.attributes)


def _shown(context: Context) -> dict[str, Any]:
    """The context as it was understood, in Node's spelling."""
    known = {"location": context.location, "userAgent": context.device}
    written = {
        "id": context.id,
        "customVariables": context.attributes,
        "variationTargetingVariables": context.targeting,
        "userAgent": context.user_agent,
        "ipAddress": context.ip_address,
        "bucketingSeed": context.bucketing_seed,
        "_vwo": {name: facts for name, facts in known.items() if facts},
    }
    return {name: value for name, value in written.items() if value or name in ("id", "customVariables")}


class SeenFlag(Struct, frozen=True):
    """One flag as one user gets it."""

    flag: Flag
    is_on: bool
    variation: str
    sentence: str


def flags_for(
    call: Call, environment: Environment, somebody: str, *, limit: int
) -> tuple[list[SeenFlag], int]:
    """The first flags decided for a user who passes this identity or id, also as every custom variable.

    Shape: the decisions, and how many flags were left out.
    """
    core, now, ruleset = call.core, call.now, _ruleset(call, environment)
    found = []
    for flag in ruleset.flags[:limit]:
        decided = evaluate(
            ruleset,
            flag.key,
            _context(core, "", somebody, _lists(flag)),
            now=now,
            in_list=lambda list_id, value: core.members.contains(list_set(list_id), value),
        )
        variation = decided.variation.name or decided.variation.key if decided.variation else ""
        sentence = f"{REASONS[decided.reason]} {decided.detail}".strip()
        found.append(SeenFlag(flag, decided.is_on, variation, sentence))
    return found, len(ruleset.flags[limit:])


def _lists(flag: Flag | None) -> list[InList]:
    condition_leaves = (leaf for rule in (flag.rules if flag else ()) for leaf in leaves(rule.condition))
    return list(dict.fromkeys(leaf for leaf in condition_leaves if isinstance(leaf, InList)))


def _context(core: Core, text: str, somebody: str, in_lists: list[InList]) -> Context:
    if not text:
        return Context(somebody, dict.fromkeys((leaf.attribute for leaf in in_lists), somebody))
    if len(text) > LONGEST_CONTEXT:
        raise InvalidInput(
            f"The context has {len(text)} characters; up to {LONGEST_CONTEXT} are read here.", field="context"
        )
    try:
        document = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"The context is not JSON: {error}.", field="context") from error
    if isinstance(document, dict) and somebody:
        document.setdefault("id", somebody)
    return read_context(document, details=lambda agent, ip: details(agent, ip, locate=core.locate))


def _member(core: Core, leaf: InList, context: Context) -> Member:
    value = str(context.attributes[leaf.attribute])
    since = core.members.since(list_set(leaf.list_id), value) if leaf.list_id else None
    return Member(leaf.attribute, value, leaf.segment_id, since)


def _ruleset(call: Call, environment: Environment) -> Ruleset:
    with call.reading() as connection:
        return load_ruleset(connection, environment.id)

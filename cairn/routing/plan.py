"""A tracking plan: which events a source may send, with a JSON Schema each, and what becomes of those that break it.

Source: contracts/segment.md section 4, step 4, and Segment's Protocols. The schema is of the whole event, as Segment's
plans have it: `{"properties": {"properties": {...}, "traits": {...}, "context": {...}}}`. Pure.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from cairn.errors import InvalidInput
from cairn.routing.json_schema import (
    MOST_VIOLATIONS,
    Schema,
    SchemaRefused,
    Violation,
    read_schema,
    violations,
)
from cairn.routing.message import Message
from cairn.routing.paths import Path, path_text, value_at, with_value, without_all

MOST_RULES = 2_000  # of a plan, all versions of all events
_FIRST_VERSION = 1
PlannedKind = Literal["track", "identify", "group", "page", "screen"]
# Objects whose members are planned one by one; `context` and what is beside them belong to the client.
_PLANNED = ("properties", "traits")


class PlanRefused(InvalidInput):
    """A tracking plan is not of the accepted form."""

    code = "plan_refused"


class CheckedSchema:
    """A JSON Schema as it was written, and read."""

    def __init__(self, data: Any) -> None:  # Any: foreign JSON
        """Raises SchemaRefused."""
        self.data = data
        self.schema: Schema = read_schema(data)


class Rule(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One version of one event."""

    json_schema: CheckedSchema = msgspec.field(name="schema")
    # Of track calls their event, of page and screen calls their name; empty: every other one of the kind.
    key: Annotated[str, Meta(max_length=1_024)] = ""
    kind: PlannedKind = "track"
    version: Annotated[int, Meta(ge=1, le=1_000_000)] = _FIRST_VERSION


class Plan(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    rules: Annotated[tuple[Rule, ...], Meta(max_length=MOST_RULES)] = ()
    # Events that the plan does not have.
    on_unplanned_event: Literal["warn", "block"] = "warn"
    # Properties and traits that an event's schema does not have.
    on_unplanned_property: Literal["warn", "omit"] = "warn"
    # Events that break their schema otherwise. `omit`: they go on without the properties that do.
    on_violation: Literal["warn", "omit", "block"] = "warn"


class PlanVerdict(Struct, frozen=True):
    """What a plan says of an event. `message`: as it goes on; None: it is blocked."""

    message: Message | None
    violations: tuple[Violation, ...] = ()
    omitted: tuple[str, ...] = ()  # paths


class PlanChecker:
    """A plan with its rules by what they are about."""

    def __init__(self, plan: Plan) -> None:
        """Raises PlanRefused when two rules are about the same."""
        self.plan = plan
        self._rules: dict[tuple[str, str, int], Rule] = {
            (rule.kind, rule.key, rule.version): rule for rule in plan.rules
        }
        if len(self._rules) < len(plan.rules):
            raise PlanRefused(
                "rules: an event has the same version twice; give each one its own", field="rules"
            )
        self._kinds = {rule.kind for rule in plan.rules}

    def check(self, message: Message) -> PlanVerdict:
        if message.kind not in ("track", *self._kinds):
            return PlanVerdict(message)  # the plan says nothing of this kind
        rule = self._rule_of(message)
        if rule is None:
            return self._unplanned(message)
        schema = rule.json_schema.schema
        broken_rules = violations(schema, message.body)
        unplanned = _unplanned_properties(schema, message.body)
        broken = tuple(violation for violation in broken_rules if violation.type != "Unplanned Property")
        every = (*broken_rules, *(violation for violation in unplanned if violation not in broken_rules))
        if broken and self.plan.on_violation == "block":
            return PlanVerdict(None, every[:MOST_VIOLATIONS])
        return self._without(message, every)

    def _rule_of(self, message: Message) -> Rule | None:
        """The version that the event names in `context.protocols.event_version`, else the first."""
        wanted = value_at(message.body, ("context", "protocols", "event_version"))
        version = wanted if isinstance(wanted, int) else _FIRST_VERSION
        rules = (self._rules.get((message.kind, key, version)) for key in (message.event, ""))
        return next((rule for rule in rules if rule is not None), None)

    def _unplanned(self, message: Message) -> PlanVerdict:
        name = f"{message.kind} {message.event[:200]!r}" if message.event else message.kind
        field = ("event",) if message.kind == "track" else ("name",)
        violation = Violation("Unplanned Event", field, f"{name} is not in the plan, or not in this version")
        is_blocked = self.plan.on_unplanned_event == "block"
        return PlanVerdict(None if is_blocked else message, (violation,))

    def _without(self, message: Message, every: tuple[Violation, ...]) -> PlanVerdict:
        """The event without the properties that its plan has it omit, which it names in `context.protocols`."""
        paths: list[Path] = []
        for violation in every:
            is_unplanned = violation.type == "Unplanned Property"
            choice = self.plan.on_unplanned_property if is_unplanned else self.plan.on_violation
            is_there = violation.type != "Required" and len(violation.path) > 1
            if choice == "omit" and is_there and violation.path[0] in _PLANNED:
                paths.append(_omittable(message.body, violation.path))
        if not paths:
            return PlanVerdict(message, every[:MOST_VIOLATIONS])
        body = without_all(message.body, paths)
        omitted = tuple(dict.fromkeys(map(path_text, paths)))
        body = with_value(body, ("context", "protocols", "omitted"), list(omitted))
        return PlanVerdict(message.with_body(body), every[:MOST_VIOLATIONS], omitted)


def _omittable(body: dict[str, Any], path: Path) -> Path:
    """A member; an element of an array takes the whole array with it, as it has no name of its own."""
    lengths = (length for length in range(1, len(path)) if isinstance(value_at(body, path[:length]), list))
    return path[: next(lengths, len(path))]


def _unplanned_properties(schema: Schema, body: dict[str, Any]) -> list[Violation]:
    return [
        violation
        for name in _PLANNED
        if name in schema.properties
        for violation in _not_named(schema.properties[name], body.get(name), (name,))
    ]


def _not_named(schema: Schema, value: Any, path: Path) -> list[Violation]:
    """Members of an object whose schema names others, and says nothing of the rest."""
    if not isinstance(value, dict) or not schema.properties or schema.has_additional:
        return []
    unplanned: list[Violation] = []
    for name, inner in value.items():
        field = (*path, name)
        if name in schema.properties:
            unplanned += _not_named(schema.properties[name], inner, field)
        else:
            unplanned.append(Violation("Unplanned Property", field, f"{path_text(field)} is not in the plan"))
    return unplanned


def read_plan(data: Any) -> PlanChecker:  # Any: foreign JSON
    """Raises PlanRefused, naming the field."""
    try:
        return PlanChecker(msgspec.convert(data, Plan, dec_hook=_decoded))
    except msgspec.ValidationError as error:
        said, _, path = (
            str(error).rpartition(" - at `$") if " - at `$" in str(error) else (str(error), "", "")
        )
        field = path.strip("`").lstrip(".")
        raise PlanRefused(f"{field or 'plan'}: {said[:1].lower()}{said[1:]}", field=field) from error


def plan_json(plan: Plan) -> dict[str, Any]:
    """As it is stored; `read_plan` gives the same plan again."""
    return dict(msgspec.json.decode(msgspec.json.encode(plan, enc_hook=_encoded)))


def planned_events(plan: Plan) -> set[str]:
    """Names of track calls, for the plan of names (definitions/expected.py)."""
    return {rule.key for rule in plan.rules if rule.kind == "track"} - {""}


def violation_event(violation: Violation, message: Message, plan: Plan) -> dict[str, Any]:
    """The properties of Segment's event `Violation Generated`."""
    return {
        "eventMessageID": message.message_id,
        "eventName": message.event,
        "eventSentAt": message.body.get("sentAt"),
        "eventTimestamp": message.body.get("timestamp"),
        "eventType": message.kind,
        "sourceID": str(message.source_id),
        "trackingPlanName": plan.name,
        "violationDescription": violation.description,
        "violationField": violation.field,
        "violationType": violation.type,
    }


def _decoded(kind: type, value: Any) -> Any:
    if kind is not CheckedSchema:
        raise NotImplementedError
    try:
        return CheckedSchema(value)
    except SchemaRefused as refused:
        raise ValueError(str(refused)) from refused


def _encoded(value: Any) -> Any:
    if isinstance(value, CheckedSchema):
        return value.data
    raise NotImplementedError

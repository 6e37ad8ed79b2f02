"""The rule editor's form: an audience of rows, traffic and variations, to and from a rule. Pure.

One level is offered: rows joined by all or any. An audience of another shape (imported, or from the API) is edited as
JSON instead; nothing is ever simplified silently.
"""

import re
from typing import Annotated, get_args

import msgspec
from msgspec import Struct, structs

from cairn.conditions import describe, operand
from cairn.conditions.check import parse
from cairn.conditions.to_wingify import LIST_ID
from cairn.conditions.tree import (
    EVERYBODY,
    And,
    Attribute,
    Condition,
    Device,
    InList,
    Location,
    Not,
    Or,
    OtherFlag,
    Visitor,
)
from cairn.errors import InvalidInput
from cairn.flags.checks import RuleInvalid
from cairn.flags.model import Allocation, Flag, Rule, RuleKind, Variation
from cairn.web.editor import form_rows
from cairn.web.editor.choices import Choices
from cairn.web.editor.form_rows import Rows
from cairn.web.editor.refusal import FormRefused, Wording
from cairn.web.form import Form

SUBJECTS: Choices = (
    ("attribute", "custom variable"),
    ("visitor", "visitor id"),
    ("country", "country"),
    ("region", "region"),
    ("city", "city"),
    ("device_type", "kind of device"),
    ("browser_string", "browser"),
    ("browser_version", "browser version"),
    ("os", "system"),
    ("os_version", "system version"),
    ("flag", "other flag"),
)
# What the gateway answers to GET /get-user-details; a value may be another one, such as a rare browser.
DEVICE_VALUES: dict[str, tuple[str, ...]] = {
    "device_type": ("desktop", "mobile", "tablet", "tv"),
    "browser_string": (
        "Chrome",
        "Chrome Mobile",
        "Safari",
        "Mobile Safari",
        "Firefox",
        "Firefox Mobile",
        "Edge",
        "Edge Mobile",
        "Opera",
        "Samsung Internet",
    ),
    "browser_version": (),
    "os": ("Windows", "Mac OS", "iOS", "Android", "Linux", "Ubuntu", "Chrome OS"),
    "os_version": (),
}
DEVICE_TYPES: Choices = tuple((value, value) for value in DEVICE_VALUES["device_type"])
OPERATORS: Choices = tuple(  # of a custom variable
    (operator, describe.OPERATORS[operator])
    for operator in (
        "in_list",
        "not_in_list",
        "is",
        "is_not",
        "is_ignoring_case",
        "contains",
        "starts_with",
        "ends_with",
        "matches",
        "greater",
        "at_least",
        "less",
        "at_most",
    )
)
KINDS: Choices = (
    ("rollout", "Rollout: give it to them"),
    ("testing", "Test: split them among variations"),
    ("personalise", "Personalise: give them a variation of their own"),
)
WORDING = Wording(
    {
        "name": "Name",
        "key": "Key",
        "traffic": "Traffic",
        "allocations": "Shares",
        "condition": "Audience",
        "json": "Condition",
        ".name": "Custom variable",
        ".operator": "Operator",
        ".segment": "Segment",
        ".value": "Value",
        ".flag": "Flag",
    }
)
# Variations that stand for "as it was": a new rule gives another one, where there is one.
_OFF = frozenset({"off", "control", "disabled", "none", "false", "original"})
_ATTRIBUTE = re.compile(r"^attribute (?:'[^']*'|\"[^\"]*\"): ")


class AudienceRow(Struct, frozen=True):
    """One line of the audience."""

    subject: str = "attribute"
    name: str = ""
    operator: str = "in_list"
    segment: str = ""  # id, of a segment or of another list
    value: str = ""
    flag: str = ""  # id, of another flag
    state: str = "on"


class RuleDraft(Struct, frozen=True):
    """What the editor shows."""

    name: str = ""
    key: str = ""
    kind: str = "rollout"
    traffic: str = "100"
    variation: str = ""  # id
    weights: dict[str, str] = {}  # variation id -> percent
    join: str = "and"
    rows: Annotated[tuple[AudienceRow, ...], Rows("r", AudienceRow)] = ()
    json: str = ""


def read(form: Form) -> RuleDraft:
    weights = {
        name.removeprefix("weight-"): value.strip() for name, value in form if name.startswith("weight-")
    }
    return structs.replace(form_rows.read(form, RuleDraft), weights=weights)


def first_variation(flag: Flag) -> Variation:
    """What a new rule gives: the first variation that is not the one for "off"."""
    news = (
        variation
        for variation in flag.variations
        if _OFF.isdisjoint({variation.key.lower(), variation.name.lower()})
    )
    return next(news, flag.variations[0])


def kind_of(draft: RuleDraft) -> RuleKind:
    return next((choice for choice in get_args(RuleKind) if choice == draft.kind), "rollout")


def traffic_of(draft: RuleDraft) -> float:
    """Raises RuleInvalid."""
    return _percent(draft.traffic, "traffic")


def allocations_of(draft: RuleDraft, flag: Flag, before: Rule | None) -> tuple[Allocation, ...]:
    """Raises RuleInvalid. Numbers of an imported rule stay."""
    numbers = (
        {allocation.variation_id: allocation.number for allocation in before.allocations} if before else {}
    )
    if kind_of(draft) != "testing":
        chosen = next(
            (variation for variation in flag.variations if str(variation.id) == draft.variation),
            flag.variations[0],
        )
        return (Allocation(chosen.id, 100, numbers.get(chosen.id, 0)),)
    weighed = ((variation, draft.weights.get(str(variation.id), "")) for variation in flag.variations)
    return tuple(
        Allocation(variation.id, _share(weight, variation), numbers.get(variation.id, 0))
        for variation, weight in weighed
        if weight not in ("", "0")
    )


def _share(text: str, variation: Variation) -> float:
    try:
        return _percent(text, "share")
    except RuleInvalid as error:
        about = f"Share of {variation.name or variation.key}"
        raise FormRefused(
            {f"weight-{variation.id}": f"{about}: expected a percentage, got {text[:20]!r}"}
        ) from error


def _percent(text: str, field: str) -> float:
    try:
        value = float(text.replace("%", "").replace(",", "."))
    except ValueError as error:
        raise RuleInvalid(f"{field}: expected a percentage, got {text[:20]!r}", field=field) from error
    return int(value) if value == value and abs(value) < 1e6 and value.is_integer() else value


def condition_of(draft: RuleDraft) -> Condition:
    """Raises InvalidInput whose field is the control, such as `r1.value` or `json`."""
    if draft.json:
        try:
            return parse(msgspec.json.decode(draft.json))
        except msgspec.DecodeError as error:
            raise InvalidInput(f"this is not JSON: {error}", field="json") from error
    leaves = [_leaf(row, f"r{at}") for at, row in enumerate(draft.rows)]
    if not leaves:
        return EVERYBODY
    if len(leaves) == 1:
        return leaves[0]
    return And(tuple(leaves)) if draft.join == "and" else Or(tuple(leaves))


def _leaf(row: AudienceRow, at: str) -> Condition:
    match row.subject:
        case "visitor":
            return Visitor(_filled(row.value, "visitor id", at))
        case "country" | "region" | "city":
            return Location(row.subject, _filled(row.value, row.subject, at))
        case "device_type" | "browser_string" | "browser_version" | "os" | "os_version":
            return Device(row.subject, _filled(row.value, dict(SUBJECTS)[row.subject], at))
        case "flag":
            return OtherFlag(_chosen(row.flag, "flag", at), "off" if row.state == "off" else "on")
        case _:
            return _attribute(row, at)


def _attribute(row: AudienceRow, at: str) -> Condition:
    if not row.name:
        raise InvalidInput("is empty; name it or remove the row", field=f"{at}.name")
    if row.operator in ("in_list", "not_in_list"):
        leaf = _in_list(row, at)
        return leaf if row.operator == "in_list" else Not(leaf)
    value = row.value.strip()
    if row.operator == "is_not":
        return Not(_checked(Attribute(row.name, "is", value), at))
    for operator in (
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
    ):
        if operator == row.operator:
            return _checked(Attribute(row.name, operator, value), at)
    raise InvalidInput(f"{row.operator[:30]!r} is not known; choose one of the list", field=f"{at}.operator")


def _in_list(row: AudienceRow, at: str) -> InList:
    """Of a segment by its number, or of another list by its id, which has a letter."""
    if LIST_ID.fullmatch(row.segment) and not row.segment.isdigit():
        return InList(row.name, list_id=row.segment)
    return InList(row.name, segment_id=_chosen(row.segment, "segment", at))


def _checked(leaf: Attribute, at: str) -> Attribute:
    """Raises InvalidInput at the row for what no flag SDK can be asked."""
    try:
        operand.check(leaf)
    except InvalidInput as error:
        raise InvalidInput(_ATTRIBUTE.sub("", str(error)), field=f"{at}.value") from error
    return leaf


def _filled(text: str, what: str, at: str) -> str:
    if not text.strip():
        raise InvalidInput(f"a {what} is missing; fill it in or remove the row", field=f"{at}.value")
    return text.strip()


def _chosen(text: str, what: str, at: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidInput(f"choose a {what}", field=f"{at}.{what}")
    return int(text)


def draft_of(rule: Rule) -> RuleDraft:
    """Of a rule that cannot be read its names only: who gets what, and how many, must be said again."""
    if rule.unreadable:
        return RuleDraft(rule.name, rule.key, rule.kind, traffic="")
    condition = rule.condition
    nodes = condition.nodes if isinstance(condition, And | Or) else (condition,)
    drafted = tuple(row for row in map(_row, nodes) if row is not None)
    draft = RuleDraft(
        rule.name,
        rule.key,
        rule.kind,
        text_of(rule.traffic),
        str(rule.allocations[0].variation_id),
        {str(allocation.variation_id): text_of(allocation.weight) for allocation in rule.allocations},
        "or" if isinstance(condition, Or) else "and",
        drafted,
    )
    if len(drafted) == len(nodes) and _says(draft, condition):
        return draft
    text = msgspec.json.format(msgspec.json.encode(condition), indent=2).decode()
    return structs.replace(draft, rows=(), json=text)


def _says(draft: RuleDraft, condition: Condition) -> bool:
    try:
        return _plain(condition_of(draft)) == _plain(condition)
    except InvalidInput:
        return False


def _plain(condition: Condition) -> Condition:
    """A group of one means its only node."""
    return condition.nodes[0] if isinstance(condition, And | Or) and len(condition.nodes) == 1 else condition


def text_of(percent: float) -> str:
    return f"{percent:g}" if percent == round(percent, 6) else str(percent)


def _list_of(leaf: InList) -> str:
    return str(leaf.segment_id) if leaf.segment_id else leaf.list_id


def _row(leaf: Condition) -> AudienceRow | None:
    match leaf:
        case Not(InList() as inner):
            return AudienceRow("attribute", inner.attribute, "not_in_list", _list_of(inner))
        case InList():
            return AudienceRow("attribute", leaf.attribute, "in_list", _list_of(leaf))
        case Not(Attribute() as inner) if inner.operator == "is":
            return AudienceRow("attribute", inner.name, "is_not", value=inner.value)
        case Attribute():
            return AudienceRow("attribute", leaf.name, leaf.operator, value=leaf.value)
        case Visitor():
            return AudienceRow("visitor", value=leaf.ids)
        case Location():
            return AudienceRow(leaf.key, value=leaf.value)
        case Device() if leaf.key in DEVICE_VALUES:
            return AudienceRow(leaf.key, value=leaf.value)
        case OtherFlag():
            return AudienceRow("flag", flag=str(leaf.flag_id), state=leaf.state)
        case _:
            return None

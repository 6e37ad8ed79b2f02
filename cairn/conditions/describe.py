"""A condition as an English sentence for pages: pieces of text, the names and values among them emphasised. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from typing import assert_never

from msgspec import Struct

from cairn.clock import from_ms
from cairn.conditions.tree import (
    And,
    Attribute,
    Between,
    Condition,
    Device,
    Did,
    EventMatch,
    InList,
    Last,
    Location,
    Not,
    Or,
    OtherFlag,
    PropertyFilter,
    UserProperty,
    Visitor,
)

SHOWN_VALUES = 5  # of a long list; the rest is counted
# The one table of what operators are called: in sentences, and in the choices of every editor.
OPERATORS: Mapping[str, str] = {
    "is": "is",
    "is_not": "is not",
    "contains": "contains",
    "does_not_contain": "does not contain",
    "starts_with": "starts with",
    "ends_with": "ends with",
    "matches": "matches",
    "greater": "is greater than",
    "at_least": "is at least",
    "less": "is less than",
    "at_most": "is at most",
    "is_set": "is set",
    "is_not_set": "is not set",
    "in": "is one of",
    "not_in": "is none of",
    "is_ignoring_case": "is (ignoring case)",
    "operand": "fits Wingify's operand",
    "in_list": "is in list",
    "not_in_list": "is not in list",
}
COUNTS: Mapping[str, str] = {
    "at_least": "at least",
    "at_most": "at most",
    "exactly": "exactly",
    "more_than": "more than",
    "less_than": "fewer than",
}
_KINDS: Mapping[str, str] = {
    "custom": "event",
    "pageview": "page view",
    "": "anything",
    "identify": "identify call",
    "exposure": "exposure",
}


class Phrase(Struct, frozen=True):
    text: str
    emphasised: bool = False
    segment_id: int = 0  # of a list, to link it and to tell its size
    list_id: str = ""  # of a list other than a segment's


class Line(Struct, frozen=True):
    """One condition of an audience."""

    joiner: str  # if, and, or
    phrases: Sequence[Phrase]


class Names(Struct, frozen=True):
    """How what a condition names by id is called."""

    segments: Mapping[int, str] = {}
    events: Mapping[int, str] = {}
    flags: Mapping[int, str] = {}
    lists: Mapping[str, str] = {}
    zone: tzinfo = UTC  # in which times are said


UNNAMED = Names()


def describe(condition: Condition, names: Names = UNNAMED) -> list[Phrase]:
    """Shape: phrases to print one after another."""
    return _merged(_describe(condition, names))


def sentence(condition: Condition, names: Names = UNNAMED) -> str:
    """The same without emphasis."""
    return "".join(phrase.text for phrase in describe(condition, names))


def lines(condition: Condition, names: Names = UNNAMED) -> list[Line]:
    """Shape: a line for each condition of the outermost group. Empty for everybody."""
    nodes = condition.nodes if isinstance(condition, And | Or) else (condition,)
    if isinstance(condition, Or) and not nodes:
        return [Line("if", [Phrase("never: an empty group of alternatives")])]
    joiner = "or" if isinstance(condition, Or) else "and"
    return [
        Line(joiner if number else "if", _merged(_describe(node, names))) for number, node in enumerate(nodes)
    ]


def describe_test(test: PropertyFilter) -> list[Phrase]:
    """One test of a property or fact."""
    return _test(test)


def _describe(node: Condition, names: Names) -> list[Phrase]:
    match node:
        case And(nodes):
            return _group(nodes, " and ", "everybody", names)
        case Or(nodes):
            return _group(nodes, " or ", "nobody", names)
        case Not(InList() as leaf):
            return _list(leaf, " is not in list ", names)
        case Not(child):
            return [Phrase("not ("), *_describe(child, names), Phrase(")")]
        case UserProperty():
            return _test(node)
        case Did():
            return _did(node, names)
        case _:
            return _flag_leaf(node, names)


def _flag_leaf(
    node: Attribute | InList | Visitor | Location | Device | OtherFlag, names: Names
) -> list[Phrase]:
    match node:
        case Attribute():
            return [
                Phrase("custom variable "),
                _strong(node.name),
                Phrase(f" {OPERATORS[node.operator]} "),
                _strong(node.value),
            ]
        case InList():
            return _list(node, " is in list ", names)
        case Visitor():
            return [Phrase("the user id is one of "), _strong(node.ids)]
        case Location() | Device():
            return [Phrase(f"{node.key.replace('_', ' ')} is "), _strong(node.value)]
        case OtherFlag():
            return [
                Phrase("flag "),
                _strong(names.flags.get(node.flag_id, str(node.flag_id))),
                Phrase(f" is {node.state}"),
            ]
        case _:
            assert_never(node)


def _list(leaf: InList, verb: str, names: Names) -> list[Phrase]:
    if leaf.segment_id:
        name = names.segments.get(leaf.segment_id, f"segment {leaf.segment_id}")
    else:
        name = names.lists.get(leaf.list_id, leaf.list_id)
    return [
        Phrase("custom variable "),
        _strong(leaf.attribute),
        Phrase(verb),
        Phrase(
            name, emphasised=True, segment_id=leaf.segment_id, list_id="" if leaf.segment_id else leaf.list_id
        ),
    ]


def _group(nodes: Sequence[Condition], joint: str, nothing: str, names: Names) -> list[Phrase]:
    if not nodes:
        return [Phrase(nothing)]
    phrases: list[Phrase] = []
    for node in nodes:
        inner = _describe(node, names)
        is_group = isinstance(node, And | Or) and len(node.nodes) > 1 and len(nodes) > 1
        phrases += [Phrase(joint)] * bool(phrases) + (
            [Phrase("("), *inner, Phrase(")")] if is_group else inner
        )
    return phrases


def _test(node: UserProperty | PropertyFilter) -> list[Phrase]:
    phrases = [_strong(node.key), Phrase(f" {OPERATORS[node.operator]}")]
    if node.operator in ("is_set", "is_not_set"):
        return phrases
    if node.operator not in ("in", "not_in"):
        return [*phrases, Phrase(" "), _strong(node.value)]
    shown = [phrase for value in node.values[:SHOWN_VALUES] for phrase in (Phrase(", "), _strong(value))][1:]
    more = len(node.values) - SHOWN_VALUES
    return [*phrases, Phrase(" "), *shown, *([Phrase(f" and {more} more")] if more > 0 else [])]


def _did(node: Did, names: Names) -> list[Phrase]:
    event, zone = _event(node.event, names), names.zone
    if (node.operator, node.count) in (("exactly", 0), ("less_than", 1), ("at_most", 0)):
        phrases = [Phrase("did not do "), *event]
    elif (node.operator, node.count) in (("at_least", 1), ("more_than", 0)):
        phrases = [Phrase("did "), *event]
    else:
        times = "time" if node.count == 1 else "times"
        phrases = [Phrase("did "), *event, Phrase(f" {COUNTS[node.operator]} {node.count} {times}")]
    match node.window:
        case Last(1, unit):
            return [*phrases, Phrase(f" in the last {unit}")]
        case Last(amount, unit):
            return [*phrases, Phrase(f" in the last {amount} {unit}s")]
        case Between(from_ms, to_ms):
            return [*phrases, Phrase(f" between {_moment(from_ms, zone)} and {_moment(to_ms, zone)} {zone}")]
    return phrases


def _event(event: EventMatch, names: Names) -> list[Phrase]:
    kind = _KINDS.get(event.kind, event.kind)
    if event.defined:
        phrases = [_strong(names.events.get(event.defined, f"defined event {event.defined}"))]
    elif not event.name:
        phrases = [Phrase(kind if not event.kind else f"any {kind}")]
    elif event.kind == "custom":
        phrases = [_strong(event.name)]
    elif event.kind:
        phrases = [Phrase(f"the {kind} "), _strong(event.name)]
    else:
        phrases = [_strong(event.name), Phrase(" (of any kind)")]
    for index, condition in enumerate(event.filters):
        phrases += [Phrase(" and " if index else " where "), *_test(condition)]
    return phrases


def _moment(ms: int, zone: tzinfo) -> str:
    return from_ms(ms).astimezone(zone).strftime("%Y-%m-%d %H:%M")


def _strong(text: str) -> Phrase:
    return Phrase(text or "(empty)", emphasised=True)


def _merged(phrases: Sequence[Phrase]) -> list[Phrase]:
    """Neighbours without emphasis as one phrase, so that a page shows few elements."""
    merged: list[Phrase] = []
    for phrase in phrases:
        if merged and not phrase.emphasised and not merged[-1].emphasised:
            merged[-1] = Phrase(merged[-1].text + phrase.text)
        else:
            merged.append(phrase)
    return merged

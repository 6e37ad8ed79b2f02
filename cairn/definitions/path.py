"""Captured elements as paths: what is known of an element and of everything around it, outermost first.

Source: the hierarchy grammar of contracts/heap.md 5.4, `@tag;#id;.class;[attr=value];|` for each node. Positions among
siblings come as the attributes `nth` and `nth-of-type` where the client sent them. Pages' html and body elements are
never in the string; every path starts below them.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cairn.event import Element

# Limit: a hierarchy that may have been cut (1,024 characters, 30 nodes) has an unknown number of elements above it, so
# `body > …` does not hold for its outermost node. Which ones were cut is not said; these may have been.
_CUT_CHARACTERS, _CUT_NODES = 512, 30

Bools = NDArray[np.bool_]
Numbers = NDArray[np.int64]


class Node(Struct, frozen=True, gc=False):  # no cycles, and there are tens of thousands
    tag: str = ""  # in small letters
    id: str = ""
    classes: tuple[str, ...] = ()
    attributes: Mapping[str, str] = {}


_HTML = Node("html", attributes={"nth": "1", "nth-of-type": "1"})
_BODY = Node("body", attributes={"nth": "2", "nth-of-type": "1"})
_GAP = Node()  # elements that are not known


def read_node(text: str) -> Node:
    """One node of a hierarchy, without its closing bar. Parts that are none of the grammar's are passed over."""
    tag, dom_id = "", ""
    classes: list[str] = []
    attributes: dict[str, str] = {}
    for part in text.split(";"):
        match part[:1]:
            case "@":
                tag = part[1:].lower()
            case "#":
                dom_id = part[1:]
            case ".":
                classes.append(part[1:])
            case "[" if part.endswith("]"):
                name, _, value = part[1:-1].partition("=")
                attributes[name.lower()] = value
    return Node(tag, dom_id, tuple(classes), attributes)


class Paths:
    """Many paths as one tree: what they have in common is kept, and later matched, once.

    An entry is a node at its depth; entry 0 is above every path. Parents come before their children.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = [_GAP]
        self._numbers: dict[object, int] = {}
        self._parent, self._node = [0], [0]
        self._places: dict[tuple[int, int], int] = {}
        self._by_part: dict[str, list[int]] = {}  # `@tag`, `#id` or `.class` to the nodes that have it
        self._whole: View | None = None

    def add(self, element: Element) -> int:
        """The entry of an element's own node."""
        texts = [text for text in element.hierarchy.split("|") if text]
        entry = self._child(0, self._number("html", lambda: _HTML))
        target = self._target(element, texts[-1] if texts else "")
        own = self.nodes[target].tag
        if own == "html":
            return self._child(0, target)
        if own != "body":
            entry = self._child(entry, self._number("body", lambda: _BODY))
        if len(texts) >= _CUT_NODES or len(element.hierarchy) > _CUT_CHARACTERS:
            entry = self._child(entry, 0)
        for text in texts[:-1]:
            entry = self._child(entry, self._number(text, partial(read_node, text)))
        return self._child(entry, target)

    def view(self, entries: Sequence[int] | None = None) -> "View":
        """Everything, or only these entries with what is above them."""
        if entries is None:
            if self._whole is None or len(self._whole.entries) != len(self._parent):
                kept = list(range(len(self._parent)))
                self._whole = View(self.nodes, kept, self._parent, self._node, self._by_part)
            return self._whole
        wanted = {0}
        for entry in entries:
            while entry not in wanted:
                wanted.add(entry)
                entry = self._parent[entry]
        kept = sorted(wanted)
        return View(self.nodes, kept, [self._parent[e] for e in kept], [self._node[e] for e in kept], None)

    def _target(self, element: Element, text: str) -> int:
        """The target's node: what the hierarchy says of it, and what only the element's own fields say."""
        more = tuple(sorted(element.attributes.items()))
        facts = () if text else (element.tag, element.dom_id, element.classes, element.href)
        return self._number((text, more, facts), lambda: _own_node(element, text))

    def _number(self, key: object, read: Callable[[], Node]) -> int:
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.nodes)
            node = read()
            self.nodes.append(node)
            for part in {f"@{node.tag}", f"#{node.id}", *(f".{name}" for name in node.classes)}:
                self._by_part.setdefault(part, []).append(number)
        return number

    def _child(self, parent: int, node: int) -> int:
        entry = self._places.get((parent, node))
        if entry is None:
            entry = self._places[parent, node] = len(self._parent)
            self._parent.append(parent)
            self._node.append(node)
        return entry


def _own_node(element: Element, text: str) -> Node:
    if text:
        node = read_node(text)
    else:
        attributes = {"href": element.href} if element.href else {}
        node = Node(element.tag.lower(), element.dom_id, tuple(element.classes.split()), attributes)
    own = {name.lower(): value for name, value in element.attributes.items()}
    return Node(node.tag, node.id, node.classes, {**own, **node.attributes})


class View:
    """Some entries as arrays, ready to be matched; an answer has a place for each of them, in order."""

    def __init__(
        self,
        nodes: Sequence[Node],
        entries: Sequence[int],
        parents: Sequence[int],
        numbers: Sequence[int],
        by_part: Mapping[str, Sequence[int]] | None,
    ) -> None:
        """`by_part`: which of all nodes have a part, where all are looked at."""
        self.entries: Numbers = np.array(entries, dtype=np.int64)
        self.parent: Numbers = np.searchsorted(self.entries, np.array(parents, dtype=np.int64))
        self._nodes, self._number, self._by_part = nodes, np.array(numbers, dtype=np.int64), by_part
        self._known: Bools = self._number != 0
        self._levels = self._by_depth()

    def indexes_of(self, entries: Sequence[int]) -> Numbers:
        """Where in an answer these entries stand."""
        return np.searchsorted(self.entries, np.array(entries, dtype=np.int64))

    def everywhere(self) -> Bools:
        """Every entry of a known element."""
        return self._known.copy()

    def where(self, test: Callable[[Node], bool], parts: Sequence[str] = ()) -> Bools:
        """Entries whose node passes. Each distinct node is asked once, and only if it can have all of the parts."""
        if self._by_part is None:
            candidates: Sequence[int] = np.unique(self._number).tolist()
        elif parts:
            candidates = min((self._by_part.get(part, ()) for part in parts), key=len)
        else:
            candidates = range(len(self._nodes))
        hits = np.zeros(len(self._nodes), dtype=np.bool_)
        hits[[number for number in candidates if test(self._nodes[number])]] = True
        answer: Bools = hits[self._number] & self._known
        return answer

    def below(self, ancestors: Bools) -> Bools:
        """Entries with at least one of these above them."""
        answer = np.zeros(len(self.entries), dtype=np.bool_)
        for level in self._levels:
            above = self.parent[level]
            answer[level] = answer[above] | ancestors[above]
        return answer

    def _by_depth(self) -> list[Numbers]:
        waiting = np.arange(1, len(self.entries))
        levels: list[Numbers] = []
        done = np.zeros(len(self.entries), dtype=np.bool_)
        done[0] = True
        while len(waiting):
            ready = done[self.parent[waiting]]
            level = waiting[ready]
            levels.append(level)
            waiting = waiting[~ready]
            done[level] = True
        return levels

"""CSS selectors over captured paths: one is read once and matched against any number of shapes.

Supported is what a path can answer: descendant and child, tag, class, id, attributes, `:not`, `:is`, `:where`, `:root`
and positions among siblings as far as the client sent them. What asks about elements beside or inside the path, or
about a moment, is refused by name; nothing is ever half understood.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from cssselect import parser as css
from msgspec import Struct

from cairn.definitions.path import Bools, Node, Paths, View
from cairn.errors import InvalidInput
from cairn.event import Element

MAX_SELECTOR = 1_000  # characters; what people write has fifty
# The HTML standard's attributes whose values compare in any case; of those that clients capture or may capture.
_ANY_CASE = frozenset(
    {
        "accept",
        "align",
        "alink",
        "axis",
        "bgcolor",
        "charset",
        "checked",
        "clear",
        "codetype",
        "color",
        "compact",
        "declare",
        "defer",
        "dir",
        "direction",
        "disabled",
        "enctype",
        "face",
        "frame",
        "hreflang",
        "http-equiv",
        "lang",
        "language",
        "link",
        "media",
        "method",
        "multiple",
        "nohref",
        "noresize",
        "noshade",
        "nowrap",
        "readonly",
        "rel",
        "rev",
        "rules",
        "scope",
        "scrolling",
        "selected",
        "shape",
        "target",
        "text",
        "type",
        "valign",
        "valuetype",
        "vlink",
    }
)
_BLANKS = re.compile(r"[ \t\n\r\f]+")
_UNORDERED = ("=", "^=", "$=", "|=")  # of the class attribute: they ask for the order of classes

Test = Callable[[Node], bool]


class SelectorNotAccepted(InvalidInput):
    """The selector has a mistake, or asks what a captured path cannot answer. The message names the part."""

    code = "selector_not_accepted"


class Inner(Struct, frozen=True):
    """The argument of `:not` (negated) or `:is`."""

    alternatives: tuple["Complex", ...]
    is_negated: bool


class Compound(Struct, frozen=True):
    """The tests of one element."""

    tests: tuple[Test, ...]
    inner: tuple[Inner, ...] = ()
    parts: tuple[str, ...] = ()  # `@tag`, `#id` and `.class` among the tests: most nodes have none of them


class Complex(Struct, frozen=True):
    """Compounds from the outermost to the element itself; `combinators[n]` stands between n and n + 1."""

    compounds: tuple[Compound, ...]
    combinators: tuple[str, ...]


class Selector(Struct, frozen=True):
    text: str
    alternatives: tuple[Complex, ...]

    def hits(self, view: View) -> Bools:
        """Which entries it matches."""
        return _any(self.alternatives, view)

    def matches(self, element: Element) -> bool:
        """One element by itself."""
        paths = Paths()
        entry = paths.add(element)
        view = paths.view()
        return bool(self.hits(view)[view.indexes_of([entry])[0]])


@lru_cache(maxsize=512)
def read_selector(text: str, *, field: str = "selector") -> Selector:
    """Raises SelectorNotAccepted naming the part."""
    if len(text) > MAX_SELECTOR:
        raise _refused(text, field, f"has {len(text)} characters, at most {MAX_SELECTOR} are accepted")
    try:
        trees = css.parse(text)
        return Selector(text, tuple(_complex(_own(tree)) for tree in trees))
    except _Unknowable as error:
        raise _refused(text, field, str(error)) from error
    except css.SelectorError as error:
        raise _refused(text, field, f"cannot be read: {_plain(str(error))}") from error
    except RecursionError as error:
        raise _refused(text, field, "is nested too deep") from error


def relaxed(selector: Selector) -> Iterator[str]:
    """The same selector with one part of it left out, in every way there is; for finding what it would match again."""
    for tree in css.parse(selector.text):
        for shorter in _without_one(tree.parsed_tree):
            yield css.Selector(shorter).canonical()


class _Unknowable(Exception):
    """Says which part, and why a path cannot answer it."""


def _refused(text: str, field: str, what: str) -> SelectorNotAccepted:
    shown = text if len(text) <= 80 else text[:79] + "…"
    return SelectorNotAccepted(f"{field} {shown!r} {what}", field=field)


def _plain(message: str) -> str:
    return message.replace("<", "").replace(">", "").replace("DELIM ", "").replace("EOF", "the end")


def _own(selector: css.Selector) -> Any:  # Any: the parser's tree, here and below
    if selector.pseudo_element is not None:
        name = getattr(selector.pseudo_element, "name", selector.pseudo_element)
        raise _Unknowable(f"names the pseudo-element '::{name}'; only elements are captured, leave it out")
    return selector.parsed_tree


def _complex(tree: Any) -> Complex:
    compounds, combinators = [], []
    while isinstance(tree, css.CombinedSelector):
        if tree.combinator not in (" ", ">"):
            raise _Unknowable(
                f"has the combinator '{tree.combinator}'; the elements beside one are not captured, "
                "use ' ', '>' or :nth-child()"
            )
        compounds.append(_compound(tree.subselector))
        combinators.append(tree.combinator)
        tree = tree.selector
    compounds.append(_compound(tree))
    return Complex(tuple(reversed(compounds)), tuple(reversed(combinators)))


def _compound(tree: Any) -> Compound:
    tests: list[Test] = []
    inner: list[Inner] = []
    parts: list[str] = []
    while not isinstance(tree, css.Element):
        match tree:
            case css.Negation():
                inner.append(Inner((_complex(tree.subselector),), True))
            case css.Matching() | css.SpecificityAdjustment():
                inner.append(Inner(tuple(_complex(selector) for selector in tree.selector_list), False))
            case css.Relation():
                raise _Unknowable("uses ':has()'; what is inside an element is not captured")
            case css.Hash():
                parts.append(f"#{_captured(tree.id)}")
                tests.append(_id(_captured(tree.id)))
            case css.Class():
                parts.append(f".{_captured(tree.class_name)}")
                tests.append(_class(_captured(tree.class_name)))
            case _:
                tests.append(_test(tree))
        tree = tree.selector
    if tree.namespace is not None:
        raise _Unknowable(f"names the namespace '{tree.namespace}'; leave out what is before '|'")
    if tree.element is not None:
        parts.append(f"@{tree.element.lower()}")
        tests.append(_tag(tree.element.lower()))
    return Compound(tuple(reversed(tests)), tuple(inner), tuple(parts))


def _test(tree: Any) -> Test:
    match tree:
        case css.Attrib():
            return _attribute(tree)
        case css.Pseudo():
            return _pseudo(tree.ident.lower())
        case css.Function():
            return _function(tree)
    raise _Unknowable(f"has a part that is not known here: {tree!r}")


def _tag(name: str) -> Test:
    return lambda node: node.tag == name


def _id(value: str) -> Test:
    return lambda node: node.id == value


def _class(name: str) -> Test:
    return lambda node: name in node.classes


def _captured(value: str) -> str:
    """A value as it would stand in a path: `;` and `|` separate there, so they are left out of values."""
    kept = value.replace(";", "").replace("|", "")
    if value and not kept:
        raise _Unknowable(f"looks for {value!r}; the characters ';' and '|' are not captured")
    return kept


def _attribute(tree: Any) -> Test:
    if tree.namespace is not None:
        raise _Unknowable(f"names the namespace '{tree.namespace}' of an attribute; leave it out")
    name, operator = tree.attrib.lower(), tree.operator
    if operator not in _COMPARE:
        raise _Unknowable(f"has the operator '{operator}'; one of = ~= |= ^= $= *= is meant")
    value = _captured(tree.value.value) if tree.value is not None else ""
    folds = tree.flag == "i" or (tree.flag != "s" and name in _ANY_CASE)
    if name == "class":
        _check_class_order(operator, value)
    compare, expected = _COMPARE[operator], value.lower() if folds else value

    def test(node: Node) -> bool:
        actual = _value(node, name)
        return actual is not None and compare(actual.lower() if folds else actual, expected)

    return test


def _check_class_order(operator: str, value: str) -> None:
    if operator in _UNORDERED and (operator != "=" or _BLANKS.search(value)):
        raise _Unknowable(
            f"compares the class attribute with '{operator}'; the order of classes is not captured, "
            "use .name or [class*=…]"
        )


def _value(node: Node, name: str) -> str | None:
    if name == "id":
        return node.id or None
    if name == "class":
        return " ".join(node.classes) or None
    return node.attributes.get(name)


_COMPARE: dict[str, Callable[[str, str], bool]] = {
    "exists": lambda actual, expected: True,
    "=": lambda actual, expected: actual == expected,
    "~=": lambda actual, expected: bool(expected) and expected in _BLANKS.split(actual),
    "|=": lambda actual, expected: actual == expected or actual.startswith(expected + "-"),
    "^=": lambda actual, expected: bool(expected) and actual.startswith(expected),
    "$=": lambda actual, expected: bool(expected) and actual.endswith(expected),
    "*=": lambda actual, expected: bool(expected) and expected in actual,
}


def _pseudo(name: str) -> Test:
    if name == "root":
        return _tag("html")
    if name == "first-child":
        return _position("nth", 0, 1)
    if name == "first-of-type":
        return _position("nth-of-type", 0, 1)
    if name in ("last-child", "last-of-type", "only-child", "only-of-type", "empty"):
        raise _Unknowable(
            f"uses ':{name}'; how many elements are beside or inside one is not captured, use :nth-child()"
        )
    raise _Unknowable(f"uses ':{name}'; it asks about a moment or state that is not captured, leave it out")


def _function(tree: Any) -> Test:
    names = {"nth-child": "nth", "nth-of-type": "nth-of-type"}
    if tree.name not in names:
        raise _Unknowable(f"uses ':{tree.name}()'; only :not, :is, :where and :nth-child are known here")
    try:
        step, start = css.parse_series(tree.arguments)
    except ValueError as error:
        raise _Unknowable(f"uses ':{tree.name}()' with something else than an+b, odd or even") from error
    return _position(names[tree.name], step, start)


def _position(name: str, step: int, start: int) -> Test:
    """The an+b of CSS over the captured position. An element whose position is not known never passes."""

    def test(node: Node) -> bool:
        text = node.attributes.get(name, "")
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            return False
        away = int(text) - start
        return away == 0 if step == 0 else away % step == 0 and away // step >= 0

    return test


def _any(alternatives: tuple[Complex, ...], view: View) -> Bools:
    first, *others = alternatives
    answer = _hits(first, view)
    for other in others:
        answer |= _hits(other, view)
    return answer


def _hits(complex_: Complex, view: View) -> Bools:
    """From the outermost compound inwards: which entries each beginning of the selector reaches."""
    first, *others = complex_.compounds
    reached = _compound_hits(first, view)
    for combinator, compound in zip(complex_.combinators, others, strict=True):
        above = reached[view.parent] if combinator == ">" else view.below(reached)
        reached = _compound_hits(compound, view) & above
    return reached


def _compound_hits(compound: Compound, view: View) -> Bools:
    tests = compound.tests
    if len(tests) == 1:
        answer = view.where(tests[0], compound.parts)
    elif tests:
        answer = view.where(lambda node: all(test(node) for test in tests), compound.parts)
    else:
        answer = view.everywhere()
    for inner in compound.inner:
        matched = _any(inner.alternatives, view)
        answer &= ~matched if inner.is_negated else matched
    return answer


def _without_one(tree: Any) -> Iterator[Any]:
    match tree:
        case css.CombinedSelector():
            yield tree.subselector
            for left in _without_one(tree.selector):
                yield css.CombinedSelector(left, tree.combinator, tree.subselector)
            for right in _without_one(tree.subselector):
                yield css.CombinedSelector(tree.selector, tree.combinator, right)
        case css.Element():
            if tree.element is not None:
                yield css.Element(None, None)
        case _:
            yield tree.selector
            for inner in _without_one(tree.selector):
                yield _on(tree, inner)


def _on(tree: Any, base: Any) -> Any:
    """The outermost part of a compound upon another base."""
    match tree:
        case css.Hash():
            return css.Hash(base, tree.id)
        case css.Class():
            return css.Class(base, tree.class_name)
        case css.Attrib():
            of: Any = (tree.namespace, tree.attrib, tree.operator, tree.value, tree.flag)
            return css.Attrib(base, *of)
        case css.Pseudo():
            return css.Pseudo(base, tree.ident)
        case css.Function():
            return css.Function(base, tree.name, tree.arguments)
        case css.Negation():
            return css.Negation(base, tree.subselector)
        case css.Matching():
            return css.Matching(base, tree.selector_list)
        case _:
            return css.SpecificityAdjustment(base, tree.selector_list)

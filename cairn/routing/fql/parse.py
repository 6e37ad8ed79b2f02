"""FQL's text as a tree: each character is read once, and what is wrong is said with its place and its remedy. Pure."""

import re
from collections.abc import Sequence
from typing import NoReturn, cast

from msgspec import Struct

from cairn.errors import InvalidInput
from cairn.routing.fql.glob import Glob, GlobRefused
from cairn.routing.fql.tree import (
    FUNCTIONS,
    TYPES,
    All,
    Any,
    Equal,
    Field,
    Function,
    In,
    IsTrue,
    Not,
    Operand,
    Order,
    Ordered,
    Scalar,
    Test,
    Value,
)
from cairn.routing.paths import PATH_TEXT, PathRefused, split_path

LONGEST_BYTES = 5 * 1024
# Parentheses and `!` inside each other.
MOST_DEPTH = 20

_TOKEN = re.compile(
    rf"""(?P<space>[ \t\r\n]+)
    |(?P<number>[+-]?\d{{1,30}}(?:\.\d{{1,30}})?(?![\w.\\]))
    |(?P<word>(?=[A-Za-z_\\]){PATH_TEXT})
    |(?P<text>"[^"]*"|'[^']*')
    |(?P<mark><=|>=|!=|==|&&|\|\||<>|[=<>!(),\[\]])""",
    re.VERBOSE | re.ASCII | re.DOTALL,
)
_CONSTANTS: dict[str, Scalar] = {"true": True, "false": False, "null": None}
_COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
# What people write who know other languages.
_MEANT = {"==": "=", "&&": "and", "||": "or", "<>": "!=", "not": "!", "AND": "and", "OR": "or", "IN": "in"}
_BOOLEAN = ("contains", "match")


class FqlRefused(InvalidInput):
    """A filter is not FQL. The message says at which character, and what to write."""

    code = "fql_refused"

    def __init__(self, message: str, position: int) -> None:
        """`position`: characters before the one at fault."""
        super().__init__(f"character {position + 1}: {message}", field="filter")
        self.position = position


class Token(Struct, frozen=True):
    kind: str  # number, word, text, mark or end
    text: str
    position: int


def parse(text: str) -> Test:
    """Raises FqlRefused."""
    if len(text) > LONGEST_BYTES or len(text.encode(errors="replace")) > LONGEST_BYTES:
        raise FqlRefused(f"a filter has at most {LONGEST_BYTES} bytes; make several of it", LONGEST_BYTES)
    return _Parser(_tokens(text)).whole()


def _tokens(text: str) -> list[Token]:
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            _refuse_character(text, position)
        if token.lastgroup != "space":
            tokens.append(Token(cast(str, token.lastgroup), token.group(), position))
        position = token.end()
    return [*tokens, Token("end", "", position)]


def _refuse_character(text: str, position: int) -> NoReturn:
    character = text[position]
    if character in "\"'":
        raise FqlRefused(f"the text has no closing {character}; add it", position)
    if character.isdigit() or (character in "+-" and text[position + 1 : position + 2].isdigit()):
        raise FqlRefused(
            "not a number; write 12 or 1.5, and before a name that begins so a backslash", position
        )
    following = text[position + 1 : position + 2]
    if character == "." and following.strip(" ."):
        raise FqlRefused(f"write a backslash before the {following!r} of this name", position + 1)
    raise FqlRefused(f"{character!r} is not expected; inside a name, write a backslash before it", position)


class _Parser:
    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens, self._at = tokens, 0

    def whole(self) -> Test:
        if self._next.kind == "end":
            raise FqlRefused("the filter is empty; write for example event = 'Order Completed'", 0)
        test = self._any(0)
        if self._next.kind != "end":
            self._refuse("expected and, or, or the end")
        return test

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._next
        self._at += 1
        return token

    def _is_next(self, text: str) -> bool:
        return self._next.text == text and self._next.kind in ("mark", "word")

    def _accept(self, text: str) -> bool:
        is_next = self._is_next(text)
        self._at += is_next
        return is_next

    def _expect(self, mark: str, why: str) -> None:
        if not self._accept(mark):
            self._refuse(f"expected {mark} {why}")

    def _refuse(self, message: str) -> NoReturn:
        token = self._next
        if token.text in _MEANT and token.kind in ("mark", "word"):
            message = f"write {_MEANT[token.text]} instead of {token.text}"
        elif token.kind == "end":
            message = f"{message}; the filter ends here"
        else:
            message = f"{message}, not {token.text[:40]}"
        raise FqlRefused(message, token.position)

    def _any(self, depth: int) -> Test:
        tests = [self._all(depth)]
        while self._accept("or"):
            tests.append(self._all(depth))
        return tests[0] if len(tests) == 1 else Any(tuple(tests))

    def _all(self, depth: int) -> Test:
        tests = [self._single(depth)]
        while self._accept("and"):
            tests.append(self._single(depth))
        return tests[0] if len(tests) == 1 else All(tuple(tests))

    def _single(self, depth: int) -> Test:
        if depth == MOST_DEPTH:
            message = f"nested more than {MOST_DEPTH} levels deep; write it with fewer parentheses"
            raise FqlRefused(message, self._next.position)
        if self._accept("!"):
            return Not(self._single(depth + 1))
        if self._accept("("):
            test = self._any(depth + 1)
            self._expect(")", "to close the parenthesis")
            return test
        return self._comparison(depth)

    def _comparison(self, depth: int) -> Test:
        start = self._next
        left = self._operand(depth)
        if self._accept("in"):
            return In(left, self._items())
        if self._next.kind == "mark" and self._next.text in _COMPARISONS:
            operator = self._take().text
            right = self._operand(depth)
            self._check_type_name(left, right)
            self._check_type_name(right, left)
            if operator == "=":
                return Equal(left, right)
            return (
                Not(Equal(left, right)) if operator == "!=" else Ordered(left, cast(Order, operator), right)
            )
        if not _may_be_true(left):
            if self._next.text in _MEANT:
                self._refuse("")
            raise FqlRefused("this is no condition by itself; compare it, for example with =", start.position)
        return IsTrue(left)

    def _check_type_name(self, operand: Operand, other: Operand) -> None:
        if not (isinstance(operand, Function) and operand.name == "typeof" and isinstance(other, Value)):
            return
        if other.value not in TYPES:
            names = ", ".join(map(repr, TYPES))
            message = f"typeof never gives {other.value!r}; it gives one of {names}"
            raise FqlRefused(message, self._tokens[self._at - 1].position)

    def _operand(self, depth: int) -> Operand:
        token = self._next
        if token.kind in ("text", "number") or (token.kind == "word" and token.text in _CONSTANTS):
            return Value(self._scalar())
        if token.text == "[":
            return self._list()
        if token.kind != "word" or token.text in ("and", "or", "in", *_MEANT):
            self._refuse("expected a field, a value or a function")
        self._take()
        if self._is_next("("):
            return self._function(token, depth)
        try:
            return Field(split_path(token.text))
        except PathRefused as refused:
            raise FqlRefused(str(refused), token.position) from refused

    def _function(self, name: Token, depth: int) -> Function:
        if name.text not in FUNCTIONS:
            known = ", ".join(FUNCTIONS)
            raise FqlRefused(
                f"there is no function {name.text[:40]}; the functions are {known}", name.position
            )
        if depth == MOST_DEPTH:
            raise FqlRefused(f"nested more than {MOST_DEPTH} levels deep", name.position)
        self._take()
        arguments = [self._operand(depth + 1)]
        while len(arguments) < FUNCTIONS[name.text]:
            self._expect(",", f"and argument {len(arguments) + 1} of {name.text}")
            last = self._next
            arguments.append(self._operand(depth + 1))
        if name.text == "match":
            _check_glob(arguments[1], last)
        self._expect(")", f"after the {FUNCTIONS[name.text]} argument(s) of {name.text}")
        return Function(name.text, tuple(arguments))

    def _items(self) -> Value | Field:
        start = self._next
        operand = self._operand(MOST_DEPTH)
        if isinstance(operand, Field) or (isinstance(operand, Value) and isinstance(operand.value, tuple)):
            return operand
        raise FqlRefused(
            "after in stands a list, as in ['a', 'b'], or a field that holds one", start.position
        )

    def _list(self) -> Value:
        self._take()
        values: list[Scalar] = []
        while not self._accept("]"):
            if values:
                self._expect(",", "or ] in the list")
            token = self._next
            if token.kind not in ("text", "number") and token.text not in _CONSTANTS:
                self._refuse("a list holds texts, numbers, true, false and null")
            values.append(self._scalar())
        return Value(tuple(values))

    def _scalar(self) -> Scalar:
        token = self._take()
        if token.kind == "text":
            return token.text[1:-1]
        if token.kind == "word":
            return _CONSTANTS[token.text]
        return float(token.text) if "." in token.text else int(token.text)


def _may_be_true(operand: Operand) -> bool:
    match operand:
        case Field():
            return True
        case Value(value):
            return isinstance(value, bool)
        case Function(name):
            return name in _BOOLEAN


def _check_glob(operand: Operand, token: Token) -> None:
    if not (isinstance(operand, Value) and isinstance(operand.value, str)):
        raise FqlRefused("the pattern of match is a text, as in '*@example.com'", token.position)
    try:
        Glob(operand.value)
    except GlobRefused as refused:
        raise FqlRefused(str(refused), token.position) from refused

"""Texts in a connection's rules that are read once, when the rules are: FQL and paths."""

from typing import Any

import msgspec

from cairn.errors import InvalidInput
from cairn.routing.fql.parse import parse
from cairn.routing.paths import parse_path


class _Text:
    """Equal to what is written alike."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, _Text) and other.text == self.text

    def __hash__(self) -> int:
        return hash((type(self), self.text))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r})"


class Fql(_Text):
    def __init__(self, text: str) -> None:
        """Raises FqlRefused."""
        super().__init__(text)
        self.test = parse(text)


class FieldPath(_Text):
    """Empty: none."""

    def __init__(self, text: str) -> None:
        """Raises PathRefused."""
        super().__init__(text)
        self.path = parse_path(text) if text else ()


def decoded(kind: type, value: Any) -> Any:  # Any: foreign JSON
    """msgspec's `dec_hook`. Raises ValueError, to which msgspec adds where the text stands."""
    if not issubclass(kind, _Text):
        raise NotImplementedError
    if not isinstance(value, str):
        raise ValueError("expected text")
    try:
        return kind(value)
    except InvalidInput as refused:
        raise ValueError(str(refused)) from refused


def encoded(value: Any) -> Any:
    """msgspec's `enc_hook`."""
    if isinstance(value, _Text):
        return value.text
    raise NotImplementedError


def to_json(value: Any) -> Any:
    """A Struct of rules as JSON values."""
    return msgspec.json.decode(msgspec.json.encode(value, enc_hook=encoded))

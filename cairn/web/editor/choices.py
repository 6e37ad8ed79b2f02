"""What several editors offer: the operators of a test, and how its value is typed. Pure."""

from collections.abc import Sequence
from typing import get_args

from cairn.conditions import describe
from cairn.conditions.tree import TextOperator

Choices = tuple[tuple[str, str], ...]  # (value, what the reader sees)

OPERATORS: Choices = tuple((operator, describe.OPERATORS[operator]) for operator in get_args(TextOperator))
WITHOUT_VALUE = ("is_set", "is_not_set")
WITH_LIST = ("in", "not_in")


def operator_of(text: str) -> TextOperator:
    return next((operator for operator in get_args(TextOperator) if operator == text), "is")


def value_of(operator: str, text: str) -> tuple[str, tuple[str, ...]]:
    """One value, or those that stand one a line."""
    if operator in WITHOUT_VALUE:
        return "", ()
    if operator in WITH_LIST:
        return "", tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    return text, ()


def text_of(operator: str, value: str, values: Sequence[str]) -> str:
    return "\n".join(values) if operator in WITH_LIST else value


def known(text: str, choices: Sequence[tuple[str, str]]) -> str:
    """The choice, or the first one for what is not offered."""
    return text if any(text == value for value, _ in choices) else choices[0][0]


def in_words(message: str) -> str:
    """The operator that a message quotes in its last clause as it is shown: 'greater' becomes “is greater than”."""
    said, dot, advice = message.rpartition("; ")
    for operator, shown in describe.OPERATORS.items():
        advice = advice.replace(f"'{operator}'", f"“{shown}”")
    return said + dot + advice

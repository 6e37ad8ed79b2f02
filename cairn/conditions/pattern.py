"""Regular expressions that people write, run in time linear in the text: RE2, the store's own engine. Pure.

Nothing that a person or visitor can influence is ever compiled by `re`, whose time can double with every character.
"""

import functools

import re2

from cairn.errors import InvalidInput

# Characters. Longer ones are lists of values, which conditions have operators for.
LONGEST = 2_000
# Instructions. Time is text times instructions when a pattern needs all of its states at once.
MOST_STEPS = 2_000
# Bytes, for the states met while matching; beyond, RE2 goes on without remembering them.
MEMORY = 4 << 20


class PatternRefused(InvalidInput):
    """A pattern is not a regular expression, or needs look-around or group references, which no linear engine has."""

    code = "pattern_refused"


class Pattern:
    """One compiled expression. It searches, as `~` does elsewhere; anchors are the author's."""

    def __init__(self, source: str, *, ignore_case: bool = False, dot_is_any: bool = False) -> None:
        """`dot_is_any`: a dot is also a line break, as in the store. Raises PatternRefused."""
        if len(source) > LONGEST:
            raise PatternRefused(f"the pattern has {len(source)} characters, at most {LONGEST} are accepted")
        try:
            self._compiled = re2.compile(source.encode(), _options(ignore_case, dot_is_any))
        except re2.error as error:
            raise PatternRefused(_reason(error)) from error
        except UnicodeEncodeError as error:
            raise PatternRefused("the pattern holds half a character (a lone surrogate)") from error
        if (steps := self._compiled.programsize) > MOST_STEPS:
            raise PatternRefused(
                f"the pattern repeats too much: {steps} steps, at most {MOST_STEPS} are accepted"
            )

    def is_in(self, text: str) -> bool:
        return self._compiled.search(text.encode(errors="replace")) is not None


def _options(ignore_case: bool, dot_is_any: bool) -> re2.Options:
    options = re2.Options()
    options.case_sensitive = not ignore_case
    options.dot_nl = dot_is_any
    options.never_capture = True
    options.log_errors = False
    options.max_mem = MEMORY
    return options


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else ""
    text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    if text.startswith(
        ("invalid perl operator: (?=", "invalid perl operator: (?!", "invalid perl operator: (?<")
    ):
        return "look-ahead and look-behind are not supported; say it with several conditions"
    if text.startswith("invalid escape sequence: \\") and text[-1:].isdigit():
        return f"references to groups such as {text[-2:]} are not supported; write the text out"
    return text


@functools.lru_cache(maxsize=512)
def compiled(source: str) -> Pattern:
    """A pattern in RE2's dialect as the store reads it. Raises PatternRefused."""
    return Pattern(source, dot_is_any=True)

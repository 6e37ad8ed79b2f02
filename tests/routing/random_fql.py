"""Random filters and random events that have a chance to meet."""

import random
from typing import Any

PATHS = [
    "event",
    "type",
    "userId",
    "properties.plan",
    "properties.seats",
    "properties.tags",
    "properties.deep",
    "properties.deep.x",
    r"properties.product\ 1",
    "properties.flag",
    "context.page.path",
    "traits",
    "properties.gone.far.away",
]
TEXTS = [
    "",
    "a",
    "Plan Chosen",
    "plan",
    "pro",
    "PRO",
    "track",
    "1",
    "é",
    "😀",
    "a*b",
    "x" * 30,
    "true",
    "İ",
    "ς",
]
NUMBERS = [0, 1, -1, 3, 1.5, 2**53 + 1, 7]
GLOBS = [
    "*",
    "",
    "a*",
    "*n",
    "P*C*n",
    "?",
    "??",
    "[a-z]*",
    "[^a-z]*",
    r"a\*b",
    "p[lr]o*",
    "*[0-9]",
    "[x-z]?*",
    "[é-ü]",
    "**a",
    "[z-a]",
    "[^z-a]",
    "*[\ue000-\uffff]",
    "[\u0100-\uffff]*",
]


def scalar(source: random.Random) -> Any:
    return source.choice([source.choice(TEXTS), source.choice(NUMBERS), True, False, None])


def written(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, str):
        return f'"{value}"'
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def operand(source: random.Random) -> str:
    path = source.choice(PATHS)
    literal = written(source.choice([scalar(source), [scalar(source), scalar(source)]]))
    return source.choice(
        [
            path,
            path,
            path,
            literal,
            f"lowercase({path})",
            f"length({path})",
            f"length({literal})",
            f"contains({path}, 'a')",
        ]
    )


def test(source: random.Random, depth: int = 0) -> str:
    """One FQL statement."""
    if depth < 3 and source.random() < 0.45:
        inner = [test(source, depth + 1) for _ in range(source.randint(1, 3))]
        joined = source.choice([" and ", " or "]).join(
            f"({each})" if source.random() < 0.7 else each for each in inner
        )
        return source.choice([joined, joined, f"!({joined})"])
    path = source.choice(PATHS)
    return source.choice(
        [
            lambda: f"{operand(source)} {source.choice(['=', '!='])} {operand(source)}",
            lambda: f"{path} {source.choice(['=', '!='])} {written(scalar(source))}",
            lambda: f"{operand(source)} {source.choice(['<', '<=', '>', '>='])} {operand(source)}",
            lambda: (
                f"{source.choice([path, f'lowercase({path})'])} in {written([scalar(source) for _ in range(3)])}"
            ),
            lambda: f"contains({path}, {written(source.choice(TEXTS))})",
            lambda: f'match({path}, "{source.choice(GLOBS)}")',
            lambda: (
                f"typeof({path}) {source.choice(['=', '!='])} "
                + written(source.choice(["string", "number", "bool", "list", "object", "null"]))
            ),
            lambda: f"!{path}",
            lambda: path,
        ]
    )()


def value(source: random.Random, depth: int = 0) -> Any:
    if depth < 2 and source.random() < 0.35:
        if source.random() < 0.5:
            return [value(source, depth + 1) for _ in range(source.randint(0, 3))]
        return {source.choice(["x", "y", "a"]): value(source, depth + 1) for _ in range(source.randint(0, 2))}
    return scalar(source)


def event(source: random.Random) -> dict[str, Any]:
    names = ["plan", "seats", "tags", "deep", "product 1", "flag", "gone"]
    return {
        "type": source.choice(["track", "identify"]),
        "event": source.choice(TEXTS),
        **({"userId": value(source)} if source.random() < 0.7 else {}),
        "properties": {name: value(source) for name in names if source.random() < 0.7},
        **({"context": {"page": {"path": value(source)}}} if source.random() < 0.5 else {}),
        **({"traits": value(source)} if source.random() < 0.5 else {}),
    }

"""The rules that make a plan cheaper without changing its answer, in the order they are tried. Pure.

Each looks at the plan and at what the store knows of the data (`DataState`), and is right for as long as that is so;
`run` checks afterwards that it still was.
"""

from collections.abc import Callable

from msgspec import Struct, structs

from cairn.analysis.query.plan import Plan
from cairn.query.time_range import TimeRange
from cairn.store.data_state import DataState

Rewrite = Callable[[Plan, DataState | None], Plan]


class Rule(Struct, frozen=True):
    name: str
    reason: str
    rewrite: Rewrite


class Rewritten(Struct, frozen=True):
    plan: Plan
    fired: tuple[Rule, ...]  # those that changed it


def rewritten(plan: Plan, state: DataState | None) -> Rewritten:
    fired = []
    for rule in RULES:
        changed = rule.rewrite(plan, state)
        if changed != plan:
            fired.append(rule)
            plan = changed
    return Rewritten(plan, tuple(fired))


def _answer_empty_range(plan: Plan, state: DataState | None) -> Plan:
    since_ms = plan.within.since_ms
    is_later = state is not None and since_ms is not None and since_ms > state.newest_ms
    return structs.replace(plan, is_empty=plan.is_empty or plan.within.is_empty or is_later)


def _open_end(plan: Plan, state: DataState | None) -> Plan:
    until_ms = plan.within.until_ms
    if state is None or until_ms is None or state.newest_ms > until_ms:
        return plan
    return structs.replace(plan, within=TimeRange(plan.within.since_ms, None))


def _say_days(plan: Plan, _state: DataState | None) -> Plan:
    return structs.replace(plan, says_days=plan.within.since_ms is not None)


def _read_matches_only(plan: Plan, _state: DataState | None) -> Plan:
    return structs.replace(plan, reads_matches_only=bool(plan.matches))


def _keep_raw_users(plan: Plan, state: DataState | None) -> Plan:
    is_needed = state is None or state.has_merges
    return structs.replace(plan, looks_up_users=plan.looks_up_users and is_needed)


RULES: tuple[Rule, ...] = (
    Rule(
        "answer an empty range",
        "no moment lies in the range, or no event is so new, so there is nothing to read",
        _answer_empty_range,
    ),
    Rule(
        "open the end",
        "no event lies after the end, so it leaves nothing out; without it the question is the same a moment later, "
        "and its answer can be kept",
        _open_end,
    ),
    Rule(
        "say the days",
        "the table is ordered by day before time, so a range that says its days skips the others; one that has no "
        "beginning has no days to skip but the future's",
        _say_days,
    ),
    Rule(
        "read what counts",
        "the table is ordered by kind and name within a day, so events that no match means are skipped, not counted",
        _read_matches_only,
    ),
    Rule(
        "keep raw users",
        "nobody was merged, so every raw id is a user; looking each one up would double the time",
        _keep_raw_users,
    ),
)

"""Flags and where they are on."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from cairn.api.endpoint import Endpoint, EnvironmentName, Id, Key, Next, Page, ProjectQuery, Versioned
from cairn.api.page import page_of
from cairn.app import flags
from cairn.app.call import Call
from cairn.app.editions import Edited
from cairn.app.flag_warnings import warnings_of
from cairn.app.sources import find_project
from cairn.flags.checks import warnings_of_metrics
from cairn.flags.definition import FlagChanges, NewFlag, StoredFlag
from cairn.flags.model import Metric, Variable, Variation
from cairn.workspace.environment import Environment
from cairn.workspace.permission import Verb


class FlagState(Struct, frozen=True):
    environment_id: Id
    environment: str  # its key
    is_on: bool


class FlagAnswer(Struct, frozen=True):
    id: Id
    key: str
    name: str
    description: str
    lifetime: Literal["permanent", "temporary"]
    variables: tuple[Variable, ...]
    variations: tuple[Variation, ...]
    metrics: tuple[Metric, ...]
    environments: list[FlagState]
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None
    warnings: tuple[str, ...]  # what is accepted and will not work as written


class FlagList(Struct, frozen=True):
    flags: list[FlagAnswer]
    next: Next = None


class FlagPage(Page, frozen=True):
    with_archived: bool = False


class Switch(Struct, frozen=True, forbid_unknown_fields=True):
    is_on: bool


def read_flags(call: Call, query: FlagPage) -> FlagList:
    """List the flags by key."""
    stored_flags = flags.list_flags(call, with_archived=query.with_archived)
    page, rest = page_of(stored_flags, query, key=lambda stored: (stored.flag.key, stored.flag.id))
    return FlagList([_answer(call, stored) for stored in page], rest)


def create_a_flag(call: Call, query: ProjectQuery, body: NewFlag) -> Versioned[FlagAnswer]:
    """Make a flag. It is off everywhere and has no rules yet."""
    return _versioned(call, flags.create_flag(call, find_project(call, query.project).id, body))


def read_flag(call: Call, key: Key) -> Versioned[FlagAnswer]:
    """Read a flag."""
    return _versioned(call, flags.read_definition(call, key))


def change_flag(call: Call, key: Key, body: FlagChanges, expected: int | None) -> Versioned[FlagAnswer]:
    """Change a flag. What is left out stays; lists are replaced as a whole."""
    flag = flags.get_flag(call, key).flag
    return _versioned(call, flags.change_flag(call, flag.id, body, expected=expected))


def archive_a_flag(call: Call, key: Key, expected: int | None) -> None:
    """Archive a flag: applications get their defaults. Its key stays taken."""
    flags.archive_flag(call, flags.get_flag(call, key).flag.id, expected=expected)


def restore_a_flag(call: Call, key: Key, expected: int | None) -> Versioned[FlagAnswer]:
    """Bring an archived flag back as it was."""
    return _versioned(call, flags.restore_flag(call, flags.get_flag(call, key).flag.id, expected=expected))


def read_flag_switch(call: Call, key: Key, environment: EnvironmentName) -> Versioned[FlagAnswer]:
    """Read a flag with the version of its switch in one environment."""
    here = call.environment(environment)
    return _versioned(call, flags.read_switch(call, here, key), here)


def switch_flag(
    call: Call, key: Key, environment: EnvironmentName, body: Switch, expected: int | None
) -> Versioned[FlagAnswer]:
    """Switch a flag on or off in one environment."""
    here, flag_id = call.environment(environment), flags.get_flag(call, key).flag.id
    switched = flags.switch_flag(call, flag_id, here, is_on=body.is_on, expected=expected)
    return _versioned(call, switched, here)


def _versioned(
    call: Call, edited: Edited[StoredFlag], here: Environment | None = None
) -> Versioned[FlagAnswer]:
    return Versioned(_answer(call, edited.value, here), edited.edition)


def _answer(call: Call, stored: StoredFlag, here: Environment | None = None) -> FlagAnswer:
    """`here`: with what is warned of its rules in this environment."""
    flag = stored.flag
    of_rules = warnings_of(call, here, flag.key).all if here else ()
    return FlagAnswer(
        id=flag.id,
        key=flag.key,
        name=flag.name,
        description=flag.description,
        lifetime=flag.lifetime,
        variables=flag.variables,
        variations=flag.variations,
        metrics=flag.metrics,
        environments=[
            FlagState(environment.id, environment.key, stored.states[environment.id])
            for environment in call.environments()
            if environment.id in stored.states
        ],
        created_at=stored.created_at,
        updated_at=stored.updated_at,
        archived_at=stored.archived_at,
        warnings=(
            *(f"{name}: {why}" for name, why in flag.unreadable.items()),
            *warnings_of_metrics(flag.metrics),
            *of_rules,
        ),
    )


EXAMPLE = {
    "key": "new_checkout",
    "name": "New checkout",
    "variables": [{"id": 1, "key": "color", "type": "string", "value": "grey"}],
    "variations": [
        {"id": 1, "key": "default", "name": "As today"},
        {"id": 2, "key": "green", "name": "Green", "values": {"color": "green"}},
    ],
    "metrics": [{"id": 1, "identifier": "order_completed"}],
}
_SWITCH = "/flags/{key}/environments/{environment}"
ENDPOINTS = (
    Endpoint("GET", "/flags", Verb.SEE, read_flags),
    Endpoint("POST", "/flags", Verb.DEFINE, create_a_flag, example=EXAMPLE, status=201),
    Endpoint("GET", "/flags/{key}", Verb.SEE, read_flag),
    Endpoint("PATCH", "/flags/{key}", Verb.DEFINE, change_flag, example={"name": "Newest checkout"}),
    Endpoint("DELETE", "/flags/{key}", Verb.DEFINE, archive_a_flag),
    Endpoint("POST", "/flags/{key}/restore", Verb.DEFINE, restore_a_flag),
    Endpoint("GET", _SWITCH, Verb.SEE, read_flag_switch),
    Endpoint("PUT", _SWITCH, Verb.DEFINE, switch_flag, example={"is_on": True}),
)

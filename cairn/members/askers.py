"""On which day Python's SDK last asked for an environment's settings, kept with the members.

The gateway knows it and the pages want it; both have the members store, and nothing else is shared between them.
"""

from datetime import date

from cairn.members.sets import Members, SetChange


def python_set(environment_id: int) -> str:
    """Name of the set of that one day, as 2026-11-27."""
    return f"askers/{environment_id}/python"


def note_python(members: Members, environment_id: int, today: date) -> None:
    """Durable. One write a day, however often it is asked."""
    name, day = python_set(environment_id), today.isoformat()
    values = {value for value, _since in members.values(name)}
    if values != {day}:
        members.apply_all({name: SetChange({day: 0}, values - {day})})


def python_asked_on(members: Members, environment_id: int) -> date | None:
    """None: never since it is kept."""
    days = [value for value, _since in members.values(python_set(environment_id), limit=1)]
    return date.fromisoformat(days[0]) if days else None

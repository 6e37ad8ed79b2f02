"""What the defined events of live segments mean at this moment: their selectors find new elements as these appear."""

from collections.abc import Iterable

import sqlalchemy as sa

from cairn.db.engine import reading
from cairn.definitions.matching import Definitions
from cairn.errors import InvalidInput
from cairn.segments.leaves import Leaves
from cairn.segments.watched import Watched


def resolve_watched(
    segments: Iterable[Watched], engine: sa.Engine, definitions: Definitions, leaves: Leaves
) -> bool:
    """Bring `ready` of each up to date; say whether one changed. Raises Unavailable.

    To be called after touched users were taken from the queue: the elements they acted on are stored by then. A meaning
    that grows by new elements concerns nobody but such users, so nothing has to be counted again for it.
    """
    concerned = [watched for watched in segments if watched.needs_resolving]
    is_changed = False
    for environment_id in sorted({watched.environment_id for watched in concerned}):
        shapes = definitions.shapes(environment_id)
        with reading(engine) as connection:
            for watched in concerned:
                if watched.environment_id != environment_id:
                    continue
                try:
                    resolved = definitions.resolve(
                        connection, environment_id, watched.condition, shapes=shapes
                    )
                except InvalidInput:
                    resolved = watched.condition  # asking the store about it says what is wrong
                if resolved != watched.ready.condition:
                    watched.ready, is_changed = leaves.ready(resolved), True
    return is_changed

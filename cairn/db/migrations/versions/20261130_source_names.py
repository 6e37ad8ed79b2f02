"""Sources of one environment have different names: stored events hold the name of their source only."""

import sqlalchemy as sa
from alembic import op

revision = "20261130_source_names"
down_revision = "20261129_time_zones"

LONGEST = 100  # characters of a name

sources = sa.table("sources", sa.column("id"), sa.column("environment_id"), sa.column("name"))


def upgrade() -> None:
    connection = op.get_bind()
    rows = connection.execute(sa.select(sources).order_by(sources.c.id)).all()
    taken = {(row.environment_id, row.name.casefold()) for row in rows}
    seen: set[tuple[int, str]] = set()
    for row in rows:
        name = row.name
        if (row.environment_id, name.casefold()) in seen:
            name = _numbered(row.environment_id, name, taken)
            connection.execute(sa.update(sources).where(sources.c.id == row.id).values(name=name))
        seen.add((row.environment_id, name.casefold()))
        taken |= seen
    op.create_index("ix_sources_environment_id_name", "sources", ["environment_id", "name"], unique=True)


def _numbered(environment_id: int, name: str, taken: set[tuple[int, str]]) -> str:
    number = 2
    while True:
        ending = f" {number}"
        longer = name[: LONGEST - len(ending)] + ending
        if (environment_id, longer.casefold()) not in taken:
            return longer
        number += 1

"""The time zone of a project, in which its days begin."""

import sqlalchemy as sa
from alembic import op

revision = "20261129_time_zones"
down_revision = "20261129_published_changes"


def upgrade() -> None:
    op.add_column("projects", sa.Column("time_zone", sa.Text(), nullable=False, server_default="UTC"))

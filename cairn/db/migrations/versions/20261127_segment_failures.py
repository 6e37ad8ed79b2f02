"""Since when a segment is not live; the time of the last sweep is not kept any more, as nothing is swept."""

import sqlalchemy as sa
from alembic import op

revision = "20261127_segment_failures"
down_revision = "20261127_edits"


def upgrade() -> None:
    op.drop_column("segment_states", "swept_at")
    op.add_column("segment_states", sa.Column("failed_at", sa.BigInteger(), nullable=True))

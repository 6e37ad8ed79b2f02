"""The count of committed changes of what is published."""

import sqlalchemy as sa
from alembic import op

revision = "20261129_published_changes"
down_revision = "20261129_inlined_lists"


def upgrade() -> None:
    op.create_table(
        "published_changes",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_published_changes"),
    )
    op.execute("INSERT INTO published_changes (id, number) VALUES (1, 0)")

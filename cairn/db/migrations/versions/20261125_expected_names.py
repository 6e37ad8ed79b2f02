"""Who made a defined event, and names of custom events that are expected."""

import sqlalchemy as sa
from alembic import op

revision = "20261125_expected_names"
down_revision = "20261125_account_keys"


def upgrade() -> None:
    op.add_column("defined_events", sa.Column("created_by", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "expected_names",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=1024), nullable=False),
        sa.Column("marked_by", sa.Text(), nullable=False),
        sa.Column("marked_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_expected_names_project_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "name", name="pk_expected_names"),
    )

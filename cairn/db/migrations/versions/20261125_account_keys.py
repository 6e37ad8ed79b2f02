"""The user property that names a user's account, of each project."""

import sqlalchemy as sa
from alembic import op

revision = "20261125_account_keys"
down_revision = "20261123_defined_events"


def upgrade() -> None:
    op.create_table(
        "account_keys",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_account_keys_project_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", name="pk_account_keys"),
    )

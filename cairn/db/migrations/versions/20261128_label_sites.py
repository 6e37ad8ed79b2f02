"""Sites that members label on, and the grants of the labeller's links."""

import sqlalchemy as sa
from alembic import op

revision = "20261128_label_sites"
down_revision = "20261127_token_limits"


def upgrade() -> None:
    op.create_table(
        "label_sites",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("environment_id", sa.Integer(), nullable=False),
        sa.Column("origin", sa.String(length=255), nullable=False),
        sa.Column("named_by", sa.Text(), nullable=False),
        sa.Column("named_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment_id"], ["environments.id"], name="fk_label_sites_environment_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_label_sites"),
        sa.UniqueConstraint("environment_id", "origin", name="uq_label_sites_environment_id_origin"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "label_grants",
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=True),
        sa.Column("session_hash", sa.String(length=64), nullable=False),
        sa.Column("environment_id", sa.Integer(), nullable=False),
        sa.Column("site", sa.String(length=255), nullable=False),
        sa.Column("home", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_hash"], ["sessions.token_hash"], name="fk_label_grants_session_hash", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["environment_id"], ["environments.id"], name="fk_label_grants_environment_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("code_hash", name="pk_label_grants"),
        sa.UniqueConstraint("token_hash", name="uq_label_grants_token_hash"),
    )

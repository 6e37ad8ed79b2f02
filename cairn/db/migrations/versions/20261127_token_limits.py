"""Tokens may end on a date, and may reach one environment only."""

import sqlalchemy as sa
from alembic import op

revision = "20261127_token_limits"
down_revision = "20261127_segment_failures"


def upgrade() -> None:
    op.add_column("api_tokens", sa.Column("expires_at", sa.BigInteger(), nullable=True))
    op.add_column("api_tokens", sa.Column("environment_id", sa.Integer(), nullable=True))

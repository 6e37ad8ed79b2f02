"""Environments may take flag events only with a key that no front-end has."""

import sqlalchemy as sa
from alembic import op

revision = "20261128_server_keys"
down_revision = "20261128_label_sites"


def upgrade() -> None:
    op.add_column("environments", sa.Column("server_key_hash", sa.String(length=64), nullable=True))
    op.add_column("environments", sa.Column("server_key_sealed", sa.LargeBinary(), nullable=True))
    op.add_column(
        "environments", sa.Column("needs_server_key", sa.Boolean(), nullable=False, server_default=sa.false())
    )

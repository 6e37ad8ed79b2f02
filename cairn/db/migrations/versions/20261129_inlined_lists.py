"""Whether settings files for Python hold the values of lists: in new environments they do not."""

import sqlalchemy as sa
from alembic import op

revision = "20261129_inlined_lists"
down_revision = "20261128_server_keys"


def upgrade() -> None:
    op.add_column(
        "environments", sa.Column("inlines_lists", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    # No flag that works today may change without anybody's doing.
    op.execute(sa.text("UPDATE environments SET inlines_lists = true"))

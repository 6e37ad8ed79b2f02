"""Dead letters: when somebody asked to send one again."""

import sqlalchemy as sa
from alembic import op

revision = "20261203_redrive"
down_revision = "20261202_routing"


def upgrade() -> None:
    with op.batch_alter_table("dead_letters", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.add_column(sa.Column("redrive_at", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_dead_letters_connection_id_redrive_at", "dead_letters", ["connection_id", "redrive_at"]
    )

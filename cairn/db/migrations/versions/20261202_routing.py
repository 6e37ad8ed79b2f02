"""Routing: several connections of a source, and what became of messages on their way to destinations."""

import sqlalchemy as sa
from alembic import op

revision = "20261202_routing"
down_revision = "20261201_segment_sync"


def upgrade() -> None:
    _widen_connections()
    _delivery()
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("connection_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("anonymous_id", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("reason", sa.String(length=60), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failed_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        _of_connection("dead_letters"),
        sa.PrimaryKeyConstraint("id", name="pk_dead_letters"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_dead_letters_connection_id_position", "dead_letters", ["connection_id", "position"], unique=True
    )
    op.create_index("ix_dead_letters_expires_at", "dead_letters", ["expires_at"], unique=False)


def _widen_connections() -> None:
    connection = op.get_bind()
    is_sqlite = connection.dialect.name == "sqlite"
    given = "SELECT seq FROM sqlite_sequence WHERE name = 'connections'"
    last_id = connection.execute(sa.text(given)).scalar() if is_sqlite else None
    with op.batch_alter_table("connections", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.drop_constraint("uq_connections_source_id_destination_environment_id", type_="unique")
        table.add_column(sa.Column("name", sa.Text(), nullable=False, server_default=""))
        table.add_column(sa.Column("secret_sealed", sa.LargeBinary(), nullable=True))
        table.add_column(sa.Column("rules", sa.Text(), nullable=False, server_default="{}"))
        table.add_column(sa.Column("retry_hours", sa.Integer(), nullable=False, server_default="4"))
        table.add_column(sa.Column("start_position", sa.BigInteger(), nullable=False, server_default="0"))
        table.add_column(sa.Column("updated_at", sa.BigInteger(), nullable=False, server_default="0"))
    if last_id is not None:  # the table was made anew, and a deleted id must not come back
        connection.execute(
            sa.text("UPDATE sqlite_sequence SET seq = :last WHERE name = 'connections'"), {"last": last_id}
        )
    connection.execute(sa.text("UPDATE connections SET updated_at = created_at"))
    is_builtin = sa.text("destination = 'heap'")
    op.create_index(
        "ix_connections_builtin",
        "connections",
        ["source_id", "environment_id"],
        unique=True,
        sqlite_where=is_builtin,
        postgresql_where=is_builtin,
    )
    op.create_index("ix_connections_source_id", "connections", ["source_id"], unique=False)


def _delivery() -> None:
    op.create_table(
        "delivery_counts",
        sa.Column("connection_id", sa.Integer(), nullable=False),
        sa.Column("minute", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=60), nullable=False),
        sa.Column("latency_ms", sa.Integer(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        _of_connection("delivery_counts"),
        sa.PrimaryKeyConstraint(
            "connection_id", "minute", "outcome", "reason", "latency_ms", name="pk_delivery_counts"
        ),
    )
    op.create_table(
        "delivery_samples",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("connection_id", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=60), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("anonymous_id", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        _of_connection("delivery_samples"),
        sa.PrimaryKeyConstraint("id", name="pk_delivery_samples"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_delivery_samples_connection_id_outcome_reason",
        "delivery_samples",
        ["connection_id", "outcome", "reason"],
        unique=False,
    )
    op.create_table(
        "delivery_states",
        sa.Column("connection_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("waiting", sa.Integer(), nullable=False),
        sa.Column("retrying", sa.Integer(), nullable=False),
        sa.Column("oldest_at", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        _of_connection("delivery_states"),
        sa.PrimaryKeyConstraint("connection_id", name="pk_delivery_states"),
    )
    op.create_table(
        "delivery_erasures",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("environment_id", sa.Integer(), nullable=False),
        sa.Column("names", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("is_acknowledged", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment_id"],
            ["environments.id"],
            name="fk_delivery_erasures_environment_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_delivery_erasures"),
        sqlite_autoincrement=True,
    )


def _of_connection(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["connection_id"], ["connections.id"], name=f"fk_{table}_connection_id", ondelete="CASCADE"
    )

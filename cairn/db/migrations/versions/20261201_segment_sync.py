"""Segment sync: partner apps and their grants, syncs and tasks, the Heap account, webhooks about Cairn."""

import sqlalchemy as sa
from alembic import op

revision = "20261201_segment_sync"
down_revision = "20261130_source_names"


def upgrade() -> None:
    op.create_table(
        "partner_apps",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("workspace_id", sa.Integer(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("client_id", sa.String(length=64), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("old_secret_hash", sa.String(length=64), nullable=True),
        sa.Column("old_secret_until", sa.BigInteger(), nullable=True),
        sa.Column("redirect_uris", sa.Text(), nullable=False),
        sa.Column("webhook_url", sa.Text(), nullable=False),
        sa.Column("webhook_secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("next_webhook_secret_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("next_webhook_secret_at", sa.BigInteger(), nullable=True),
        sa.Column("is_builtin", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name="fk_partner_apps_workspace_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_partner_apps"),
        sa.UniqueConstraint("client_id", name="uq_partner_apps_client_id"),
        sqlite_autoincrement=True,
    )

    op.create_table(
        "partner_codes",
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("app_id", sa.Integer(), nullable=False),
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("environment_id", sa.Integer(), nullable=False),
        sa.Column("granted_by", sa.Text(), nullable=False),
        sa.Column("redirect_uri", sa.Text(), nullable=False),
        sa.Column("challenge", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("grant_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["app_id"], ["partner_apps.id"], name="fk_partner_codes_app_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["environment_id"],
            ["environments.id"],
            name="fk_partner_codes_environment_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name="fk_partner_codes_workspace_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("code_hash", name="pk_partner_codes"),
    )

    op.create_table(
        "partner_grants",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("app_id", sa.Integer(), nullable=False),
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("environment_id", sa.Integer(), nullable=False),
        sa.Column("id_token", sa.String(length=36), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("granted_by", sa.Text(), nullable=False),
        sa.Column("granted_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["app_id"], ["partner_apps.id"], name="fk_partner_grants_app_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["environment_id"],
            ["environments.id"],
            name="fk_partner_grants_environment_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name="fk_partner_grants_workspace_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_partner_grants"),
        sa.UniqueConstraint("id_token", name="uq_partner_grants_id_token"),
        sa.UniqueConstraint("token_hash", name="uq_partner_grants_token_hash"),
        sqlite_autoincrement=True,
    )

    op.create_table(
        "sync_targets",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("environment_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("grant_id", sa.Integer(), nullable=True),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment_id"], ["environments.id"], name="fk_sync_targets_environment_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["grant_id"], ["partner_grants.id"], name="fk_sync_targets_grant_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_sync_targets"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_sync_targets_environment_id", "sync_targets", ["environment_id"], unique=False)

    op.create_table(
        "segment_syncs",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("environment_id", sa.Integer(), nullable=False),
        sa.Column("segment_id", sa.Integer(), nullable=False),
        sa.Column("target_id", sa.Integer(), nullable=False),
        sa.Column("mapping", sa.Text(), nullable=False),
        sa.Column("every", sa.Text(), nullable=False),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        sa.Column("is_ending", sa.Boolean(), nullable=False),
        sa.Column("feed_version", sa.BigInteger(), nullable=False),
        sa.Column("is_compared", sa.Boolean(), nullable=False),
        sa.Column("acknowledged", sa.Integer(), nullable=False),
        sa.Column("acknowledged_at", sa.BigInteger(), nullable=True),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("failed_at", sa.BigInteger(), nullable=True),
        sa.Column("is_noticed", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment_id"],
            ["environments.id"],
            name="fk_segment_syncs_environment_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["segment_id"], ["segments.id"], name="fk_segment_syncs_segment_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["target_id"], ["sync_targets.id"], name="fk_segment_syncs_target_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_segment_syncs"),
        sa.UniqueConstraint(
            "segment_id",
            "environment_id",
            "target_id",
            name="uq_segment_syncs_segment_id_environment_id_target_id",
        ),
        sqlite_autoincrement=True,
    )

    op.create_table(
        "sync_tasks",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("sync_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("feed_version", sa.BigInteger(), nullable=False),
        sa.Column("users", sa.Integer(), nullable=False),
        sa.Column("identified", sa.Integer(), nullable=False),
        sa.Column("added", sa.Integer(), nullable=False),
        sa.Column("removed", sa.Integer(), nullable=False),
        sa.Column("pages", sa.Integer(), nullable=False),
        sa.Column("pages_acknowledged", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["sync_id"], ["segment_syncs.id"], name="fk_sync_tasks_sync_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_sync_tasks"),
    )
    op.create_index("ix_sync_tasks_state", "sync_tasks", ["state"], unique=False)
    op.create_index("ix_sync_tasks_sync_id_started_at", "sync_tasks", ["sync_id", "started_at"], unique=False)

    op.create_table(
        "heap_connections",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("environment_id", sa.Integer(), nullable=False),
        sa.Column("targets_visitors", sa.Boolean(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("client_secret_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("webhook_secret_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("state_hash", sa.String(length=64), nullable=True),
        sa.Column("session_hash", sa.String(length=64), nullable=True),
        sa.Column("verifier_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("token_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("id_token", sa.String(length=64), nullable=True),
        sa.Column("heap_account", sa.Text(), nullable=False),
        sa.Column("heap_environment", sa.Text(), nullable=False),
        sa.Column("connected_by", sa.Text(), nullable=False),
        sa.Column("connected_at", sa.BigInteger(), nullable=True),
        sa.Column("disconnected_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("failed_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment_id"],
            ["environments.id"],
            name="fk_heap_connections_environment_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name="fk_heap_connections_workspace_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_heap_connections"),
        sa.UniqueConstraint("id_token", name="uq_heap_connections_id_token"),
        sa.UniqueConstraint("workspace_id", name="uq_heap_connections_workspace_id"),
        sqlite_autoincrement=True,
    )

    op.create_table(
        "heap_audiences",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("connection_id", sa.Integer(), nullable=False),
        sa.Column("heap_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("list_id", sa.String(length=64), nullable=False),
        sa.Column("is_added", sa.Boolean(), nullable=False),
        sa.Column("added_last", sa.Integer(), nullable=False),
        sa.Column("removed_last", sa.Integer(), nullable=False),
        sa.Column("synced_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("failed_at", sa.BigInteger(), nullable=True),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["heap_connections.id"],
            name="fk_heap_audiences_connection_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["list_id"], ["attribute_lists.id"], name="fk_heap_audiences_list_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_heap_audiences"),
        sa.UniqueConstraint("connection_id", "heap_id", name="uq_heap_audiences_connection_id_heap_id"),
        sqlite_autoincrement=True,
    )

    op.create_table(
        "heap_tasks",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("connection_id", sa.Integer(), nullable=False),
        sa.Column("audience_id", sa.Integer(), nullable=True),
        sa.Column("task_id", sa.String(length=128), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("pages", sa.Integer(), nullable=False),
        sa.Column("pages_received", sa.Integer(), nullable=False),
        sa.Column("added", sa.Integer(), nullable=False),
        sa.Column("removed", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["audience_id"], ["heap_audiences.id"], name="fk_heap_tasks_audience_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["connection_id"], ["heap_connections.id"], name="fk_heap_tasks_connection_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_heap_tasks"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_heap_tasks_audience_id_started_at", "heap_tasks", ["audience_id", "started_at"], unique=False
    )
    op.create_index(
        "ix_heap_tasks_connection_id_task_id", "heap_tasks", ["connection_id", "task_id"], unique=False
    )

    op.create_table(
        "outbound_hooks",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("environment_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("failed_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment_id"],
            ["environments.id"],
            name="fk_outbound_hooks_environment_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_outbound_hooks"),
        sa.UniqueConstraint(
            "environment_id", "kind", "url", name="uq_outbound_hooks_environment_id_kind_url"
        ),
        sqlite_autoincrement=True,
    )

    op.create_table(
        "outbound_messages",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("hook_id", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["hook_id"], ["outbound_hooks.id"], name="fk_outbound_messages_hook_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_outbound_messages"),
    )
    op.create_index(
        "ix_outbound_messages_hook_id_created_at",
        "outbound_messages",
        ["hook_id", "created_at"],
        unique=False,
    )
    op.create_index("ix_outbound_messages_state", "outbound_messages", ["state"], unique=False)

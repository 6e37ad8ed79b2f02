"""Tables of segment sync: the side that has the segments, the side that has the flags, and webhooks about Cairn."""

import sqlalchemy as sa
from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, String, Table, UniqueConstraint

from cairn.db.columns import Json, belongs_to, id_column, metadata, moment, switch, text

# Segment sync, the side that has the segments (Heap's).
partner_apps = Table(  # programs of others that ask for segments
    "partner_apps",
    metadata,
    id_column(),
    # None: it registered itself, and nobody has allowed it yet.
    Column("workspace_id", ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=True),
    text("name"),
    Column("client_id", String(64), nullable=False, unique=True),
    Column("secret_hash", String(64), nullable=False),
    Column("old_secret_hash", String(64), nullable=True),  # still taken until `old_secret_until`
    moment("old_secret_until", nullable=True),
    Column("redirect_uris", Json, nullable=False, default=list),
    text("webhook_url"),
    Column("webhook_secret_sealed", LargeBinary, nullable=False),
    Column(
        "next_webhook_secret_sealed", LargeBinary, nullable=True
    ),  # signs from `next_webhook_secret_at` on
    moment("next_webhook_secret_at", nullable=True),
    switch("is_builtin"),  # registered itself as the partner side of a Cairn: Wingify Cohort Sync
    moment("created_at"),
    moment("updated_at"),
    sqlite_autoincrement=True,
)
partner_codes = Table(  # OAuth authorization codes; kept a while after use, so that a second use is noticed
    "partner_codes",
    metadata,
    Column("code_hash", String(64), primary_key=True),
    Column("app_id", ForeignKey("partner_apps.id", ondelete="CASCADE"), nullable=False),
    belongs_to("workspaces"),
    belongs_to("environments"),
    text("granted_by"),
    text("redirect_uri"),
    text("challenge"),  # PKCE, S256; empty: none was sent
    moment("expires_at"),
    Column("grant_id", Integer, nullable=True),  # what it was exchanged for
)
partner_grants = Table(  # a partner's access to one environment
    "partner_grants",
    metadata,
    id_column(),
    Column("app_id", ForeignKey("partner_apps.id", ondelete="CASCADE"), nullable=False),
    belongs_to("workspaces"),
    belongs_to("environments"),
    Column("id_token", String(36), nullable=False, unique=True),  # names the customer in each webhook
    Column("token_hash", String(64), nullable=False, unique=True),
    text("granted_by"),
    moment("granted_at"),
    moment("revoked_at", nullable=True),
    sqlite_autoincrement=True,
)
sync_targets = Table(  # where segments of an environment can be synced to
    "sync_targets",
    metadata,
    id_column(),
    belongs_to("environments"),
    text("kind"),  # partner, webhook, files, traits
    text("name"),
    Column("grant_id", ForeignKey("partner_grants.id", ondelete="CASCADE"), nullable=True),  # of a partner
    Column("settings", Json, nullable=False, default=dict),
    Column("secret_sealed", LargeBinary, nullable=True),
    switch("is_enabled", default=True),
    moment("created_at"),
    moment("updated_at"),
    Index(None, "environment_id"),
    sqlite_autoincrement=True,
)
segment_syncs = Table(  # a segment kept the same at a target
    "segment_syncs",
    metadata,
    id_column(),
    belongs_to("environments"),
    belongs_to("segments"),
    Column("target_id", ForeignKey("sync_targets.id", ondelete="CASCADE"), nullable=False),
    text("mapping", default="identity"),  # identity, email, or property:<key>
    text("every", default="continuous"),  # continuous, 15m, 1h, 4h, 1d, once
    switch("is_on", default=True),
    switch("is_ending"),  # the target is told that nobody is in any more; then the sync is deleted
    Column("feed_version", sa.BigInteger, nullable=False, default=0),  # of the list, as last sent
    Column(
        "is_compared", sa.Boolean, nullable=False, default=False
    ),  # false: the next task compares all members
    Column("acknowledged", Integer, nullable=False, default=0),  # members the target has
    moment("acknowledged_at", nullable=True),
    moment("next_at", nullable=True),
    text("error"),
    moment("failed_at", nullable=True),  # since when, with `error`
    switch("is_noticed"),  # somebody was told that it fails
    moment("created_at"),
    moment("updated_at"),
    UniqueConstraint("segment_id", "environment_id", "target_id"),
    sqlite_autoincrement=True,
)
sync_tasks = Table(  # one delta, sent in pages; the history of a sync
    "sync_tasks",
    metadata,
    Column("id", String(36), primary_key=True),  # the target knows it by this
    Column("sync_id", ForeignKey("segment_syncs.id", ondelete="CASCADE"), nullable=False),
    text("kind"),  # first, delta, compare, sample, alive
    text("state"),  # building, sending, done, failed
    Column("feed_version", sa.BigInteger, nullable=False, default=0),  # of the list it was built from
    Column("users", Integer, nullable=False, default=0),  # in the segment when it was built
    Column("identified", Integer, nullable=False, default=0),  # of these, with an id under the mapping
    Column("added", Integer, nullable=False, default=0),
    Column("removed", Integer, nullable=False, default=0),
    Column("pages", Integer, nullable=False, default=0),
    Column("pages_acknowledged", Integer, nullable=False, default=0),
    Column("attempts", Integer, nullable=False, default=0),  # of the page that is being sent
    moment("next_at", nullable=True),
    text("error"),
    moment("started_at"),
    moment("finished_at", nullable=True),
    Index(None, "sync_id", "started_at"),
    Index(None, "state"),
)

# Segment sync, the side that has the flags (Wingify's).
heap_connections = Table(  # at most one Heap account for each workspace
    "heap_connections",
    metadata,
    id_column(),
    Column("workspace_id", ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False, unique=True),
    belongs_to("environments"),  # whose lists it fills
    switch("targets_visitors"),  # "Enable use of Heap segment for visitor targeting"
    text("host"),  # https://heapanalytics.com, or a Cairn
    text("client_id"),
    Column("client_secret_sealed", LargeBinary, nullable=True),
    Column("webhook_secret_sealed", LargeBinary, nullable=True),
    Column("state_hash", String(64), nullable=True),  # of the OAuth window that is open
    Column("session_hash", String(64), nullable=True),  # of the session that opened it
    Column("verifier_sealed", LargeBinary, nullable=True),  # PKCE
    Column("token_sealed", LargeBinary, nullable=True),
    Column("id_token", String(64), nullable=True, unique=True),
    text("heap_account"),  # as the metadata call names them
    text("heap_environment"),
    text("connected_by"),
    moment("connected_at", nullable=True),
    moment("disconnected_at", nullable=True),
    text("error"),
    moment("failed_at", nullable=True),
    moment("created_at"),
    moment("updated_at"),
    sqlite_autoincrement=True,
)
heap_audiences = Table(  # a segment of the Heap account, and the list that holds its members
    "heap_audiences",
    metadata,
    id_column(),
    Column("connection_id", ForeignKey("heap_connections.id", ondelete="CASCADE"), nullable=False),
    Column("heap_id", String(64), nullable=False),  # the segment's id at Heap
    text("name"),
    Column("list_id", ForeignKey("attribute_lists.id", ondelete="CASCADE"), nullable=False),
    switch("is_added"),  # chosen by a person; else it is on offer
    Column("added_last", Integer, nullable=False, default=0),
    Column("removed_last", Integer, nullable=False, default=0),
    moment("synced_at", nullable=True),
    text("error"),
    moment("failed_at", nullable=True),
    moment("first_seen_at"),
    UniqueConstraint("connection_id", "heap_id"),
    sqlite_autoincrement=True,
)
heap_tasks = Table(  # webhook pages of one task, applied together; the history of an audience
    "heap_tasks",
    metadata,
    id_column(),
    Column("connection_id", ForeignKey("heap_connections.id", ondelete="CASCADE"), nullable=False),
    Column("audience_id", ForeignKey("heap_audiences.id", ondelete="CASCADE"), nullable=True),
    Column("task_id", String(128), nullable=False),
    text("action"),  # sync, drain, refused
    text("state"),  # receiving, complete, applied, refused, expired
    Column("pages", Integer, nullable=False, default=0),
    Column("pages_received", Integer, nullable=False, default=0),
    Column("added", Integer, nullable=False, default=0),
    Column("removed", Integer, nullable=False, default=0),
    text("error"),
    moment("started_at"),
    moment("finished_at", nullable=True),
    Index(None, "connection_id", "task_id"),
    Index(None, "audience_id", "started_at"),
    sqlite_autoincrement=True,
)
# Webhooks about Cairn itself: settings that changed, syncs that fail.
outbound_hooks = Table(
    "outbound_hooks",
    metadata,
    id_column(),
    belongs_to("environments"),
    text("kind"),  # settings, notices
    text("url"),
    Column("secret_sealed", LargeBinary, nullable=False),
    switch("is_on", default=True),
    text("error"),
    moment("failed_at", nullable=True),
    moment("created_at"),
    moment("updated_at"),
    UniqueConstraint("environment_id", "kind", "url"),
    sqlite_autoincrement=True,
)
outbound_messages = Table(  # the history of a hook
    "outbound_messages",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("hook_id", ForeignKey("outbound_hooks.id", ondelete="CASCADE"), nullable=False),
    Column("body", Json, nullable=False),
    text("state"),  # waiting, done, failed
    Column("attempts", Integer, nullable=False, default=0),
    moment("next_at", nullable=True),
    Column("status", Integer, nullable=False, default=0),  # of the last answer; 0: none
    text("error"),
    moment("created_at"),
    moment("finished_at", nullable=True),
    Index(None, "state"),
    Index(None, "hook_id", "created_at"),
)

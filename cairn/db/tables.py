"""The metadata database: what people define and who may do so. Behaviour lives in the event store."""

import sqlalchemy as sa
from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text, UniqueConstraint

from cairn.db import columns
from cairn.db import routing_tables as routing_tables  # with the next, the rest of the schema
from cairn.db import sync_tables as sync_tables
from cairn.db.columns import Json, belongs_to, id_column, moment, switch, text

metadata = columns.metadata  # of the whole schema

workspaces = Table(
    "workspaces",
    metadata,
    id_column(),
    text("name"),
    Column("account_id", Integer, nullable=False, unique=True),  # Wingify's account id: digits
    switch("is_demo"),
    Column("demo_sealed", LargeBinary),  # what `cairn demo` prints again
    moment("created_at"),
    sqlite_autoincrement=True,
)
projects = Table(
    "projects",
    metadata,
    id_column(),
    belongs_to("workspaces"),
    text("name"),
    moment("created_at"),
    text("time_zone", default="UTC"),  # in which its days begin
    sqlite_autoincrement=True,
)
environments = Table(
    "environments",
    metadata,
    id_column(),
    belongs_to("workspaces"),
    belongs_to("projects"),
    text("key"),
    text("name"),
    Column("app_id", String(32), nullable=False, unique=True),  # Heap's app id; public by nature
    Column("sdk_key_hash", String(64), nullable=False, unique=True),
    Column("sdk_key_sealed", LargeBinary, nullable=False),
    moment("created_at"),
    # Of the SDK key that no front-end has, once it is made.
    Column("server_key_hash", String(64), nullable=True),
    Column("server_key_sealed", LargeBinary, nullable=True),
    Column("needs_server_key", sa.Boolean, nullable=False, default=False, server_default=sa.false()),
    switch("inlines_lists"),  # whether the settings file of Python's SDK holds the values of lists
    UniqueConstraint("project_id", "key"),
    sqlite_autoincrement=True,
)
account_keys = Table(  # which user property names the account of a user
    "account_keys",
    metadata,
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    text("key"),
    moment("updated_at"),
)
members = Table(
    "members",
    metadata,
    id_column(),
    belongs_to("workspaces"),
    Column("email", String(320), nullable=False, unique=True),
    text("name"),
    text("password_hash"),
    text("role", default="owner"),
    moment("created_at"),
    sqlite_autoincrement=True,
)
sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    belongs_to("members"),
    text("csrf"),
    moment("created_at"),
    moment("expires_at"),
)
label_sites = Table(
    "label_sites",
    metadata,
    id_column(),
    belongs_to("environments"),
    Column("origin", String(255), nullable=False),
    text("named_by"),
    moment("named_at"),
    UniqueConstraint("environment_id", "origin"),
    sqlite_autoincrement=True,
)
label_grants = Table(  # of one link each; the token is there once the link was opened
    "label_grants",
    metadata,
    Column("code_hash", String(64), primary_key=True),
    Column("token_hash", String(64), nullable=True, unique=True),
    Column("session_hash", ForeignKey("sessions.token_hash", ondelete="CASCADE"), nullable=False),
    belongs_to("environments"),
    Column("site", String(255), nullable=False),
    text("home"),
    text("role"),  # of the member when the link was opened
    moment("opened_at"),
    moment("until"),
)
api_tokens = Table(
    "api_tokens",
    metadata,
    id_column(),
    belongs_to("workspaces"),
    text("name"),
    Column("token_hash", String(64), nullable=False, unique=True),
    text("hint"),
    text("role", default="editor"),
    moment("created_at"),
    moment("last_used_at", nullable=True),
    moment("expires_at", nullable=True),  # null: never
    # Null: all of the workspace. No reference, which SQLite cannot add later; without its environment it reaches none.
    Column("environment_id", Integer),
    sqlite_autoincrement=True,
)
sources = Table(
    "sources",
    metadata,
    id_column(),
    belongs_to("environments"),
    text("name"),
    text("kind"),  # web, server
    Column("write_key_hash", String(64), nullable=False, unique=True),
    Column("write_key_sealed", LargeBinary, nullable=False),
    switch("is_enabled", default=True),
    moment("created_at"),
    Index(None, "environment_id", "name", unique=True),  # stored events hold the name of their source only
    sqlite_autoincrement=True,
)
segments = Table(
    "segments",
    metadata,
    id_column(),
    belongs_to("workspaces"),
    belongs_to("projects"),
    Column("key", String(100), nullable=False),
    text("name"),
    text("description"),
    Column("condition", Json, nullable=False),
    Column("version", Integer, nullable=False, default=1),
    moment("created_at"),
    moment("updated_at"),
    UniqueConstraint("project_id", "key"),
    sqlite_autoincrement=True,
)
segment_states = Table(
    "segment_states",
    metadata,
    Column("segment_id", ForeignKey("segments.id", ondelete="CASCADE"), primary_key=True),
    Column("environment_id", ForeignKey("environments.id", ondelete="CASCADE"), primary_key=True),
    Column("list_id", ForeignKey("attribute_lists.id", ondelete="CASCADE"), nullable=False),
    Column("version", Integer, nullable=False, default=0),  # the definition that was counted; 0 never
    Column("users", Integer, nullable=False, default=0),
    Column("identified", Integer, nullable=False, default=0),
    moment("counted_at", nullable=True),
    Column("drift", Integer, nullable=False, default=0),  # differences the last full recount found
    Column("count_ms", Integer, nullable=False, default=0),
    text("error"),
    moment("failed_at", nullable=True),  # since when it is not live, with `error`
)
defined_events = Table(
    "defined_events",
    metadata,
    id_column(),
    belongs_to("workspaces"),
    belongs_to("projects"),
    text("name"),
    text("category"),
    text("description"),
    Column("body", Json, nullable=False),  # definitions.defined_event.Definition
    Column("version", Integer, nullable=False, default=1),  # rises with every change of the body
    text("state", default="active"),  # active, archived
    switch("verified"),
    moment("created_at"),
    moment("updated_at"),
    text("created_by"),
    Index(None, "project_id"),
    sqlite_autoincrement=True,
)
expected_names = Table(  # custom events that may come though no definition names them
    "expected_names",
    metadata,
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(1024), primary_key=True),
    text("marked_by"),
    moment("marked_at"),
)
attribute_lists = Table(
    "attribute_lists",
    metadata,
    Column("id", String(64), primary_key=True),
    belongs_to("environments"),
    text("name"),
    text("kind"),  # segment, static
    switch("folds_case"),
    moment("created_at"),
    moment("updated_at"),
)

flags = Table(
    "flags",
    metadata,
    id_column(),
    belongs_to("workspaces"),
    belongs_to("projects"),
    Column("key", String(255), nullable=False),
    text("name"),
    text("description"),
    text("lifetime", default="permanent"),  # permanent, temporary
    Column("variables", Json, nullable=False, default=list),
    Column("variations", Json, nullable=False, default=list),
    Column("metrics", Json, nullable=False, default=list),
    moment("created_at"),
    moment("updated_at"),
    moment("archived_at", nullable=True),
    UniqueConstraint("project_id", "key"),
    sqlite_autoincrement=True,
)
flag_states = Table(
    "flag_states",
    metadata,
    Column("flag_id", ForeignKey("flags.id", ondelete="CASCADE"), primary_key=True),
    Column("environment_id", ForeignKey("environments.id", ondelete="CASCADE"), primary_key=True),
    switch("is_on"),
    moment("changed_at"),
)
rules = Table(
    "rules",
    metadata,
    id_column(),
    belongs_to("flags"),
    belongs_to("environments"),
    Column("position", Integer, nullable=False),
    text("kind"),  # rollout, testing, personalise
    Column("key", String(255), nullable=False),
    text("name"),
    switch("is_on", default=True),
    Column("body", Json, nullable=False),  # flags.model.Rule without the columns above
    moment("created_at"),
    moment("updated_at"),
    sqlite_autoincrement=True,
)
flag_groups = Table(
    "flag_groups",
    metadata,
    id_column(),
    belongs_to("environments"),
    text("name"),
    Column("body", Json, nullable=False),
    sqlite_autoincrement=True,
)
holdouts = Table(
    "holdouts",
    metadata,
    id_column(),
    belongs_to("environments"),
    text("name"),
    Column("body", Json, nullable=False),
    sqlite_autoincrement=True,
)

edits = Table(  # of segments, flags, rules and defined events: who changed what, and when
    "edits",
    metadata,
    id_column(),
    belongs_to("workspaces"),
    Column("kind", String(32), nullable=False),
    Column("thing_id", Integer, nullable=False),
    Column("edition", Integer, nullable=False),  # counts the changes of one thing
    text("by"),
    moment("at"),
    Column("what", Json, nullable=False),  # names of fields
    UniqueConstraint("kind", "thing_id", "edition"),
    sqlite_autoincrement=True,
)

user_map = Table(
    "user_map",
    metadata,
    Column("environment_id", Integer, primary_key=True),
    Column("user_id", sa.BigInteger, primary_key=True),
    Column("canonical_id", sa.BigInteger, nullable=False),
    Column("identity", Text, nullable=False),
    moment("merged_at"),
    Index(None, "environment_id", "canonical_id"),
)
merges = Table(  # the history: a merge appends, an un-merge appends its reversal
    "merges",
    metadata,
    id_column(),
    Column("environment_id", Integer, nullable=False),
    Column("user_id", sa.BigInteger, nullable=False),
    Column("canonical_id", sa.BigInteger, nullable=False),
    text("identity"),
    text("kind"),
    text("cause"),
    moment("at"),
    Index(None, "environment_id", "user_id"),
    Index(None, "environment_id", "canonical_id"),
    sqlite_autoincrement=True,
)

jobs = Table(
    "jobs",
    metadata,
    id_column(),
    text("kind"),
    Column("payload", Json, nullable=False, default=dict),
    moment("run_at"),
    Column("attempts", Integer, nullable=False, default=0),
    Column("unique_key", String(255), nullable=True, unique=True),
    text("state", default="waiting"),  # waiting, running, done, dead
    text("worker"),
    moment("lease_until", nullable=True),
    text("error"),
    moment("created_at"),
    moment("finished_at", nullable=True),
    Index(None, "state", "run_at"),
    sqlite_autoincrement=True,
)
aliases = Table(
    "aliases",
    metadata,
    Column("environment_id", Integer, primary_key=True),
    Column("alias_id", String(255), primary_key=True),
    Column("user_id", Text, nullable=False),
    moment("created_at"),
)

capture_settings = Table(
    "capture_settings",
    metadata,
    Column("environment_id", ForeignKey("environments.id", ondelete="CASCADE"), primary_key=True),
    Column("body", Json, nullable=False),  # privacy.capture.CaptureSettings
    moment("updated_at"),
)
snapshots = Table(
    "snapshots",
    metadata,
    id_column(),
    belongs_to("environments"),
    Column("name", String(255), nullable=False),  # of the property it sets
    text("trigger"),  # click, change, submit, pageview
    text("place"),  # the CSS selector or page pattern that it fires on
    text("reading"),  # text, attribute, value, javascript
    text("target"),  # the selector that is read; for javascript the function
    text("attribute"),
    moment("created_at"),
    moment("updated_at"),
    UniqueConstraint("environment_id", "trigger", "place", "name"),
    sqlite_autoincrement=True,
)
deletions = Table(  # of users; once done, what named them is gone and the receipt stays
    "deletions",
    metadata,
    Column("id", String(64), primary_key=True),
    belongs_to("workspaces"),
    text("state", default="pending"),  # pending, complete
    text("asked_by"),
    Column("users", Json, nullable=True),  # as asked for
    Column("found", Json, nullable=True),  # what they turned out to be, so that an interrupted job goes on
    Column("receipt", Json, nullable=True),
    moment("asked_at"),
    moment("finished_at", nullable=True),
    Index(None, "workspace_id", "asked_at"),
)
published_changes = Table(  # one row; see cairn.db.changes
    "published_changes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", sa.BigInteger, nullable=False),
)

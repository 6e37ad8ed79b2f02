"""The metadata database: what people define and who may do so. Behaviour lives in the event store.

Ids are small rising integers; times are aware UTC; secrets are hashed (looked up) or sealed (shown again).
"""

from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator


class Moment(TypeDecorator[datetime]):
    """An aware UTC datetime, kept as epoch milliseconds so that both engines agree to the last digit."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value.timestamp() * 1000 // 1)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromtimestamp(value / 1000, UTC)


class NotJson(msgspec.Struct, frozen=True):
    """Stands for a document that is no JSON: no type of ours reads it, so its row fails alone and not the query."""

    why: str


class Json(TypeDecorator[Any]):
    """A document, kept as text because key order carries meaning (contracts/wingify.md 7.1)."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError) as error:
            return NotJson(str(error))


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[int]:
    """Goes with `sqlite_autoincrement`: a deleted id never comes back, nor anything of its former owner."""
    return Column("id", Integer, primary_key=True, autoincrement=True)


def _of(table: str, *, name: str = "") -> Column[int]:
    return Column(
        name or f"{table.rstrip('s')}_id", ForeignKey(f"{table}.id", ondelete="CASCADE"), nullable=False
    )


def _flag(name: str, *, default: bool = False) -> Column[bool]:
    return Column(name, sa.Boolean, nullable=False, default=default)


def _text(name: str, *, default: str = "") -> Column[str]:
    return Column(name, Text, nullable=False, default=default)


def _moment(name: str, *, nullable: bool = False) -> Column[datetime]:
    return Column(name, Moment, nullable=nullable)


workspaces = Table(
    "workspaces",
    metadata,
    _id(),
    _text("name"),
    Column("account_id", Integer, nullable=False, unique=True),  # Wingify's account id: digits
    _flag("is_demo"),
    Column("demo_sealed", LargeBinary),  # what `cairn demo` prints again
    _moment("created_at"),
    sqlite_autoincrement=True,
)
projects = Table(
    "projects",
    metadata,
    _id(),
    _of("workspaces"),
    _text("name"),
    _moment("created_at"),
    _text("time_zone", default="UTC"),  # in which its days begin
    sqlite_autoincrement=True,
)
environments = Table(
    "environments",
    metadata,
    _id(),
    _of("workspaces"),
    _of("projects"),
    _text("key"),
    _text("name"),
    Column("app_id", String(32), nullable=False, unique=True),  # Heap's app id; public by nature
    Column("sdk_key_hash", String(64), nullable=False, unique=True),
    Column("sdk_key_sealed", LargeBinary, nullable=False),
    _moment("created_at"),
    # Of the SDK key that no front-end has, once it is made.
    Column("server_key_hash", String(64), nullable=True),
    Column("server_key_sealed", LargeBinary, nullable=True),
    Column("needs_server_key", sa.Boolean, nullable=False, default=False, server_default=sa.false()),
    _flag("inlines_lists"),  # whether the settings file of Python's SDK holds the values of lists
    UniqueConstraint("project_id", "key"),
    sqlite_autoincrement=True,
)
account_keys = Table(  # which user property names the account of a user
    "account_keys",
    metadata,
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    _text("key"),
    _moment("updated_at"),
)
members = Table(
    "members",
    metadata,
    _id(),
    _of("workspaces"),
    Column("email", String(320), nullable=False, unique=True),
    _text("name"),
    _text("password_hash"),
    _text("role", default="owner"),
    _moment("created_at"),
    sqlite_autoincrement=True,
)
sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    _of("members"),
    _text("csrf"),
    _moment("created_at"),
    _moment("expires_at"),
)
label_sites = Table(
    "label_sites",
    metadata,
    _id(),
    _of("environments"),
    Column("origin", String(255), nullable=False),
    _text("named_by"),
    _moment("named_at"),
    UniqueConstraint("environment_id", "origin"),
    sqlite_autoincrement=True,
)
label_grants = Table(  # of one link each; the token is there once the link was opened
    "label_grants",
    metadata,
    Column("code_hash", String(64), primary_key=True),
    Column("token_hash", String(64), nullable=True, unique=True),
    Column("session_hash", ForeignKey("sessions.token_hash", ondelete="CASCADE"), nullable=False),
    _of("environments"),
    Column("site", String(255), nullable=False),
    _text("home"),
    _text("role"),  # of the member when the link was opened
    _moment("opened_at"),
    _moment("until"),
)
api_tokens = Table(
    "api_tokens",
    metadata,
    _id(),
    _of("workspaces"),
    _text("name"),
    Column("token_hash", String(64), nullable=False, unique=True),
    _text("hint"),
    _text("role", default="editor"),
    _moment("created_at"),
    _moment("last_used_at", nullable=True),
    _moment("expires_at", nullable=True),  # null: never
    # Null: all of the workspace. No reference, which SQLite cannot add later; without its environment it reaches none.
    Column("environment_id", Integer),
    sqlite_autoincrement=True,
)
sources = Table(
    "sources",
    metadata,
    _id(),
    _of("environments"),
    _text("name"),
    _text("kind"),  # web, server
    Column("write_key_hash", String(64), nullable=False, unique=True),
    Column("write_key_sealed", LargeBinary, nullable=False),
    _flag("is_enabled", default=True),
    _moment("created_at"),
    Index(None, "environment_id", "name", unique=True),  # stored events hold the name of their source only
    sqlite_autoincrement=True,
)
connections = Table(
    "connections",
    metadata,
    _id(),
    _of("sources"),
    _text("destination"),  # "heap": the built-in analytics
    _of("environments"),
    _flag("is_enabled", default=True),
    Column("settings", Json, nullable=False, default=dict),
    _moment("created_at"),
    UniqueConstraint("source_id", "destination", "environment_id"),
    sqlite_autoincrement=True,
)

segments = Table(
    "segments",
    metadata,
    _id(),
    _of("workspaces"),
    _of("projects"),
    Column("key", String(100), nullable=False),
    _text("name"),
    _text("description"),
    Column("condition", Json, nullable=False),
    Column("version", Integer, nullable=False, default=1),
    _moment("created_at"),
    _moment("updated_at"),
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
    _moment("counted_at", nullable=True),
    Column("drift", Integer, nullable=False, default=0),  # differences the last full recount found
    Column("count_ms", Integer, nullable=False, default=0),
    _text("error"),
    _moment("failed_at", nullable=True),  # since when it is not live, with `error`
)
defined_events = Table(
    "defined_events",
    metadata,
    _id(),
    _of("workspaces"),
    _of("projects"),
    _text("name"),
    _text("category"),
    _text("description"),
    Column("body", Json, nullable=False),  # definitions.defined_event.Definition
    Column("version", Integer, nullable=False, default=1),  # rises with every change of the body
    _text("state", default="active"),  # active, archived
    _flag("verified"),
    _moment("created_at"),
    _moment("updated_at"),
    _text("created_by"),
    Index(None, "project_id"),
    sqlite_autoincrement=True,
)
expected_names = Table(  # custom events that may come though no definition names them
    "expected_names",
    metadata,
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(1024), primary_key=True),
    _text("marked_by"),
    _moment("marked_at"),
)
attribute_lists = Table(
    "attribute_lists",
    metadata,
    Column("id", String(64), primary_key=True),
    _of("environments"),
    _text("name"),
    _text("kind"),  # segment, static
    _flag("folds_case"),
    _moment("created_at"),
    _moment("updated_at"),
)

flags = Table(
    "flags",
    metadata,
    _id(),
    _of("workspaces"),
    _of("projects"),
    Column("key", String(255), nullable=False),
    _text("name"),
    _text("description"),
    _text("lifetime", default="permanent"),  # permanent, temporary
    Column("variables", Json, nullable=False, default=list),
    Column("variations", Json, nullable=False, default=list),
    Column("metrics", Json, nullable=False, default=list),
    _moment("created_at"),
    _moment("updated_at"),
    _moment("archived_at", nullable=True),
    UniqueConstraint("project_id", "key"),
    sqlite_autoincrement=True,
)
flag_states = Table(
    "flag_states",
    metadata,
    Column("flag_id", ForeignKey("flags.id", ondelete="CASCADE"), primary_key=True),
    Column("environment_id", ForeignKey("environments.id", ondelete="CASCADE"), primary_key=True),
    _flag("is_on"),
    _moment("changed_at"),
)
rules = Table(
    "rules",
    metadata,
    _id(),
    _of("flags"),
    _of("environments"),
    Column("position", Integer, nullable=False),
    _text("kind"),  # rollout, testing, personalise
    Column("key", String(255), nullable=False),
    _text("name"),
    _flag("is_on", default=True),
    Column("body", Json, nullable=False),  # flags.model.Rule without the columns above
    _moment("created_at"),
    _moment("updated_at"),
    sqlite_autoincrement=True,
)
flag_groups = Table(
    "flag_groups",
    metadata,
    _id(),
    _of("environments"),
    _text("name"),
    Column("body", Json, nullable=False),
    sqlite_autoincrement=True,
)
holdouts = Table(
    "holdouts",
    metadata,
    _id(),
    _of("environments"),
    _text("name"),
    Column("body", Json, nullable=False),
    sqlite_autoincrement=True,
)

edits = Table(  # of segments, flags, rules and defined events: who changed what, and when
    "edits",
    metadata,
    _id(),
    _of("workspaces"),
    Column("kind", String(32), nullable=False),
    Column("thing_id", Integer, nullable=False),
    Column("edition", Integer, nullable=False),  # counts the changes of one thing
    _text("by"),
    _moment("at"),
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
    _moment("merged_at"),
    Index(None, "environment_id", "canonical_id"),
)
merges = Table(  # the history: a merge appends, an un-merge appends its reversal
    "merges",
    metadata,
    _id(),
    Column("environment_id", Integer, nullable=False),
    Column("user_id", sa.BigInteger, nullable=False),
    Column("canonical_id", sa.BigInteger, nullable=False),
    _text("identity"),
    _text("kind"),
    _text("cause"),
    _moment("at"),
    Index(None, "environment_id", "user_id"),
    Index(None, "environment_id", "canonical_id"),
    sqlite_autoincrement=True,
)

jobs = Table(
    "jobs",
    metadata,
    _id(),
    _text("kind"),
    Column("payload", Json, nullable=False, default=dict),
    _moment("run_at"),
    Column("attempts", Integer, nullable=False, default=0),
    Column("unique_key", String(255), nullable=True, unique=True),
    _text("state", default="waiting"),  # waiting, running, done, dead
    _text("worker"),
    _moment("lease_until", nullable=True),
    _text("error"),
    _moment("created_at"),
    _moment("finished_at", nullable=True),
    Index(None, "state", "run_at"),
    sqlite_autoincrement=True,
)
aliases = Table(
    "aliases",
    metadata,
    Column("environment_id", Integer, primary_key=True),
    Column("alias_id", String(255), primary_key=True),
    Column("user_id", Text, nullable=False),
    _moment("created_at"),
)

capture_settings = Table(
    "capture_settings",
    metadata,
    Column("environment_id", ForeignKey("environments.id", ondelete="CASCADE"), primary_key=True),
    Column("body", Json, nullable=False),  # privacy.capture.CaptureSettings
    _moment("updated_at"),
)
snapshots = Table(
    "snapshots",
    metadata,
    _id(),
    _of("environments"),
    Column("name", String(255), nullable=False),  # of the property it sets
    _text("trigger"),  # click, change, submit, pageview
    _text("place"),  # the CSS selector or page pattern that it fires on
    _text("reading"),  # text, attribute, value, javascript
    _text("target"),  # the selector that is read; for javascript the function
    _text("attribute"),
    _moment("created_at"),
    _moment("updated_at"),
    UniqueConstraint("environment_id", "trigger", "place", "name"),
    sqlite_autoincrement=True,
)
deletions = Table(  # of users; once done, what named them is gone and the receipt stays
    "deletions",
    metadata,
    Column("id", String(64), primary_key=True),
    _of("workspaces"),
    _text("state", default="pending"),  # pending, complete
    _text("asked_by"),
    Column("users", Json, nullable=True),  # as asked for
    Column("found", Json, nullable=True),  # what they turned out to be, so that an interrupted job goes on
    Column("receipt", Json, nullable=True),
    _moment("asked_at"),
    _moment("finished_at", nullable=True),
    Index(None, "workspace_id", "asked_at"),
)
published_changes = Table(  # one row; see cairn.db.changes
    "published_changes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", sa.BigInteger, nullable=False),
)

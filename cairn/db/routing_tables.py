"""Tables of routing: connections from sources to destinations, and what became of messages on their way there."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Table
from sqlalchemy import text as sql

from cairn.db.columns import Json, belongs_to, id_column, metadata, moment, switch, text

connections = Table(
    "connections",
    metadata,
    id_column(),
    belongs_to("sources"),
    text("destination"),  # a slug; "heap": the built-in analytics
    belongs_to("environments"),  # of the built-in analytics the one they fill; of all others the source's own
    switch("is_enabled", default=True),
    Column("settings", Json, nullable=False, default=dict),
    moment("created_at"),
    text("name"),
    Column("secret_sealed", LargeBinary, nullable=True),  # JSON of a setting's key -> its secret
    Column("rules", Json, nullable=False, default=dict),  # routing/rules.py
    Column("retry_hours", Integer, nullable=False, default=4),
    # Where in the log a connection begins: at the log's end when it was made, or was last switched on.
    Column("start_position", BigInteger, nullable=False, default=0),
    moment("updated_at"),
    # Of the built-in analytics there is one connection from a source into an environment.
    Index(
        "ix_connections_builtin",
        "source_id",
        "environment_id",
        unique=True,
        sqlite_where=sql("destination = 'heap'"),
        postgresql_where=sql("destination = 'heap'"),
    ),
    Index(None, "source_id"),
    sqlite_autoincrement=True,
)
delivery_counts = Table(  # messages, by what became of them and how long that took
    "delivery_counts",
    metadata,
    Column("connection_id", ForeignKey("connections.id", ondelete="CASCADE"), primary_key=True),
    Column("minute", Integer, primary_key=True),  # since the epoch
    Column("outcome", String(20), primary_key=True),  # routing.delivery.outcome
    Column("reason", String(60), primary_key=True),
    # From the 200 to the destination's answer: the upper bound of its class; 0 where nothing was sent.
    Column("latency_ms", Integer, primary_key=True),
    Column("count", BigInteger, nullable=False),
)
delivery_samples = Table(  # the newest few messages of each connection, outcome and reason
    "delivery_samples",
    metadata,
    id_column(),
    belongs_to("connections"),
    Column("outcome", String(20), nullable=False),
    Column("reason", String(60), nullable=False),
    text("detail"),
    moment("at"),
    text("user_id"),
    text("anonymous_id"),
    Column("message", Json, nullable=False),
    Column("request", Json, nullable=True),  # without secrets
    Column("answer", Json, nullable=True),
    Index(None, "connection_id", "outcome", "reason"),
    sqlite_autoincrement=True,
)
dead_letters = Table(  # messages that were given up, to be looked at and sent again
    "dead_letters",
    metadata,
    id_column(),
    belongs_to("connections"),
    Column("position", String(40), nullable=False),  # log_position, in decimal digits
    text("kind"),
    text("event"),
    text("user_id"),
    text("anonymous_id"),
    Column("message", Json, nullable=False),
    Column("request", Json, nullable=True),  # without secrets
    Column("answer", Json, nullable=True),
    Column("reason", String(60), nullable=False),
    text("detail"),
    Column("attempts", Integer, nullable=False, default=0),
    moment("failed_at"),
    moment("expires_at"),
    moment(
        "redrive_at", nullable=True
    ),  # when somebody asked to send it again; delivery deletes it once it is sent
    Index(None, "connection_id", "position", unique=True),
    Index(None, "connection_id", "redrive_at"),
    Index(None, "expires_at"),
    sqlite_autoincrement=True,
)
delivery_states = Table(  # how each connection does, as its delivery last said
    "delivery_states",
    metadata,
    Column("connection_id", ForeignKey("connections.id", ondelete="CASCADE"), primary_key=True),
    Column("state", String(20), nullable=False),  # delivering, waiting, stopped
    text("detail"),  # why it waits or stopped
    moment("since"),
    Column("waiting", Integer, nullable=False, default=0),  # messages read and not done
    Column("retrying", Integer, nullable=False, default=0),  # of these tried before
    moment("oldest_at", nullable=True),  # when the oldest of them was received
    moment("updated_at"),
)
delivery_erasures = Table(  # users whose messages delivery is to drop; it acknowledges each
    "delivery_erasures",
    metadata,
    id_column(),
    belongs_to("environments"),
    Column("names", Json, nullable=False),  # user ids and anonymous ids; empty once acknowledged
    Column("until", BigInteger, nullable=False),  # the log's entry at that time
    switch("is_acknowledged"),
    moment("created_at"),
    sqlite_autoincrement=True,
)

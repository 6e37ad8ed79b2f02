"""The event store's tables, in ClickHouse's SQL; the same text on the embedded engine and on a server.

Measured choices are in docs/decisions and `shared/design/engine.md`: one order (environment, day, kind, name, user,
time), a bloom index for one user's timeline, LowCardinality for repeated text, Map for properties.
`user_id` is raw and never rewritten; `query.canonical` reads the merges as a dictionary, so an un-merge is one row.
The projection by event id answers "is it stored already?" and is written with the events, so it can never disagree
with them: 2,000 ids in 13 ms at 10 M events, for 13 bytes an event. `log_id` and `log_position` say from where in which
event log a row came: the same place again is the loader's own repetition after a crash, another one is a repeat by the
sender.
"""

DATABASE = "cairn"  # never `default`: in the embedded engine that one overlays the file system

TABLES: tuple[str, ...] = (
    f"""
    CREATE TABLE IF NOT EXISTS {DATABASE}.events (
        environment_id UInt32,
        event_id UInt64,
        user_id UInt64,
        session_id UInt64,
        pageview_id UInt64,
        time DateTime64(3, 'UTC') CODEC(Delta(8), LZ4),
        received_at DateTime64(3, 'UTC') CODEC(Delta(8), LZ4),
        kind LowCardinality(String),
        name LowCardinality(String),
        source LowCardinality(String),
        library LowCardinality(String),
        properties Map(LowCardinality(String), String),
        log_position UInt64 CODEC(T64, LZ4),
        INDEX by_user user_id TYPE bloom_filter(0.01) GRANULARITY 1,
        INDEX by_received received_at TYPE minmax GRANULARITY 1,
        PROJECTION by_event_id (
            SELECT event_id, log_position ORDER BY event_id
        ) WITH SETTINGS (index_granularity = 512)
    ) ENGINE = MergeTree
    PARTITION BY toYYYYMM(time)
    ORDER BY (environment_id, toDate(time), kind, name, user_id, time)
    SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, lightweight_mutation_projection_mode = 'rebuild'
    """,
    # One row per (environment, key, user); the newest version wins. `version` is time and arrival order.
    f"""
    CREATE TABLE IF NOT EXISTS {DATABASE}.user_properties (
        environment_id UInt32,
        key LowCardinality(String),
        user_id UInt64,
        value String,
        time DateTime64(3, 'UTC'),
        version UInt64,
        INDEX by_user user_id TYPE bloom_filter(0.01) GRANULARITY 1
    ) ENGINE = ReplacingMergeTree(version)
    ORDER BY (environment_id, key, user_id)
    SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
    """,
    # Current merges, a copy of the metadata database's user_map. canonical_id = user_id: un-merged.
    f"""
    CREATE TABLE IF NOT EXISTS {DATABASE}.user_map (
        environment_id UInt32,
        user_id UInt64,
        canonical_id UInt64,
        version UInt64
    ) ENGINE = ReplacingMergeTree(version)
    ORDER BY (environment_id, user_id)
    SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
    """,
    # Everything that was not accepted, with its reason, for the Live page and counters.
    f"""
    CREATE TABLE IF NOT EXISTS {DATABASE}.refusals (
        environment_id UInt32,
        received_at DateTime64(3, 'UTC'),
        outcome LowCardinality(String),
        reason LowCardinality(String),
        detail String,
        name String,
        user String,
        source LowCardinality(String),
        payload String,
        log_position UInt64
    ) ENGINE = MergeTree
    PARTITION BY toYYYYMM(received_at)
    ORDER BY (environment_id, received_at)
    TTL toDateTime(received_at) + INTERVAL 30 DAY
    SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
    """,
)

# Of captured events: the element acted on, and what is known of page, session and device (`event.FACTS`). The names
# stand here again because a migration does not change; a test holds the two together.
_CAPTURED_COLUMNS = (
    "domain",
    "path",
    "query",
    "hash",
    "title",
    "previous_path",
    "view",
    "referrer",
    "search_keyword",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "landing_domain",
    "landing_path",
    "landing_query",
    "channel",
    "platform",
    "device_type",
    "device",
    "browser",
    "browser_version",
    "os",
    "os_version",
    "app_name",
    "app_version",
    "carrier",
    "country",
    "region",
    "city",
    "ip",
)

CAPTURED = f"ALTER TABLE {DATABASE}.events " + ", ".join(
    f"ADD COLUMN IF NOT EXISTS {column}"
    for column in ("element UInt64", *(f"{name} LowCardinality(String)" for name in _CAPTURED_COLUMNS))
)

# What was added to them later.
MORE_CAPTURED = (
    f"ALTER TABLE {DATABASE}.events ADD COLUMN IF NOT EXISTS landing_hash LowCardinality(String), "
    "ADD COLUMN IF NOT EXISTS device_id String"
)

# What was left out of an event, and why. Most have none, which costs nothing.
DETAILS = f"ALTER TABLE {DATABASE}.events ADD COLUMN IF NOT EXISTS detail String"

# Which event log a row came from. What was stored before logs had ids came from log 0, so its rows say so.
LOG_IDS = (
    f"ALTER TABLE {DATABASE}.refusals ADD COLUMN IF NOT EXISTS log_id UInt16",
    f"ALTER TABLE {DATABASE}.events ADD COLUMN IF NOT EXISTS log_id UInt16",
    f"""
    ALTER TABLE {DATABASE}.events ADD PROJECTION IF NOT EXISTS by_event (
        SELECT event_id, log_id, log_position ORDER BY event_id
    ) WITH SETTINGS (index_granularity = 512)
    """,
    f"ALTER TABLE {DATABASE}.events MATERIALIZE PROJECTION by_event SETTINGS mutations_sync = 2",
    f"ALTER TABLE {DATABASE}.events DROP PROJECTION IF EXISTS by_event_id SETTINGS mutations_sync = 2",
)

# The shapes that `events.element` numbers. The number depends on the shape alone, so writing one twice is harmless.
ELEMENTS = f"""
    CREATE TABLE IF NOT EXISTS {DATABASE}.elements (
        environment_id UInt32,
        element_id UInt64,
        hierarchy String,
        tag LowCardinality(String),
        dom_id String,
        classes String,
        text String,
        href String,
        label String,
        attributes Map(LowCardinality(String), String),
        first_seen DateTime64(3, 'UTC')
    ) ENGINE = ReplacingMergeTree
    ORDER BY (environment_id, element_id)
    SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
"""

# One row per (environment, account, key); the newest version wins, as of user properties.
ACCOUNTS = f"""
    CREATE TABLE IF NOT EXISTS {DATABASE}.account_properties (
        environment_id UInt32,
        account_id String,
        key LowCardinality(String),
        value String,
        time DateTime64(3, 'UTC'),
        version UInt64
    ) ENGINE = ReplacingMergeTree(version)
    ORDER BY (environment_id, account_id, key)
    SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
"""

# Until here `version` was time in ms << 22 | the lowest bits of the log entry's number, so what arrived in one group
# commit, or four million commits apart, had no order. Now it is time in ms << 64 | log position. Of equal times, what
# is stored already arrived before all that is to come: it gets the lowest positions; of the initial properties, where
# the earliest wins and its version is the greatest, the highest.
_ORDERED_VERSION = """if(toTypeName(version) = 'UInt128', toUInt128(version), bitOr(
        bitShiftLeft(toUInt128(bitShiftRight(version, 22)), 64),
        toUInt128(bitAnd(version, 4194303)) + if({is_initial}, 18446744073705357312, 0)))"""


def _ordered(table: str, key: str, is_initial: str) -> tuple[str, ...]:
    """Statements that give a table its wider version. Each may be run again: a version that is wide stays."""
    return (
        f"DROP TABLE IF EXISTS {DATABASE}.{table}_ordered SYNC",
        f"""
        CREATE TABLE {DATABASE}.{table}_ordered (
            environment_id UInt32,
            {key},
            value String,
            time DateTime64(3, 'UTC'),
            version UInt128
            {", INDEX by_user user_id TYPE bloom_filter(0.01) GRANULARITY 1" if "user_id" in key else ""}
        ) ENGINE = ReplacingMergeTree(version)
        ORDER BY (environment_id, {"key, user_id" if "user_id" in key else "account_id, key"})
        SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
        """,
        f"""
        INSERT INTO {DATABASE}.{table}_ordered SELECT * REPLACE (
            {_ORDERED_VERSION.format(is_initial=is_initial)} AS version) FROM {DATABASE}.{table}
        """,
        f"EXCHANGE TABLES {DATABASE}.{table}_ordered AND {DATABASE}.{table}",
        f"DROP TABLE {DATABASE}.{table}_ordered SYNC",
    )


ORDERED_PROPERTIES = (
    *_ordered("user_properties", "key LowCardinality(String), user_id UInt64", "startsWith(key, 'initial_')"),
    *_ordered("account_properties", "account_id String, key LowCardinality(String)", "0"),
)

# Flag SDKs name a user by a hash of the id that the application knows it by (`ids.visitor_uuid`). Every id that an
# application may pass has a row here beforehand, so that a hash finds its user by the primary key. A hash that came
# before its user is known has a row with user_id 0. `rank` (ingest/visitors): the surer name wins.
VISITORS = (
    f"""
    CREATE TABLE IF NOT EXISTS {DATABASE}.visitors (
        environment_id UInt32,
        visitor_id UInt64,
        user_id UInt64,
        rank UInt8
    ) ENGINE = ReplacingMergeTree(rank)
    ORDER BY (environment_id, visitor_id)
    SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 512
    """,
    # Those that came before there was this table.
    f"""
    INSERT INTO {DATABASE}.visitors
    SELECT DISTINCT environment_id, user_id, 0, 0 FROM {DATABASE}.events
    WHERE kind = 'exposure' OR startsWith(library, 'vwo-')
    """,
)

# What `query.canonical` looks an event's user up in.
MERGED_USERS = f"{DATABASE}.merged_users"
DICTIONARY = f"""
    CREATE DICTIONARY IF NOT EXISTS {MERGED_USERS} (
        environment_id UInt32, user_id UInt64, canonical_id UInt64
    ) PRIMARY KEY environment_id, user_id
    SOURCE(CLICKHOUSE(QUERY 'SELECT environment_id, user_id, argMax(canonical_id, version) AS canonical_id
                             FROM {DATABASE}.user_map GROUP BY environment_id, user_id'))
    LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)
"""

# The one of the `initial_*` user properties that every user has who was seen in a session, so its rows say who was.
FIRST_SEEN_KEY = "initial_channel"

_FIRST_FACTS = (
    "referrer",
    "search_keyword",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "landing_domain",
    "landing_path",
    "landing_query",
    "landing_hash",
    "channel",
    "platform",
    "device_type",
    "device",
    "browser",
    "os",
    "app_name",
    "app_version",
    "country",
    "region",
    "city",
)
# User property -> fact, of where and how a user was first seen. All come from one event and have its version, so one
# with a lower version than FIRST_SEEN_KEY is of a later session, of another id that was merged, and does not count.
INITIAL: dict[str, str] = {f"initial_{name}": name for name in _FIRST_FACTS}

# The built-in user property that holds the identity; its user_id is the canonical one.
IDENTITY_KEY = "identity"

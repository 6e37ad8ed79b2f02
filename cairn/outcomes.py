"""What became of an event. Every event has exactly one outcome and one reason; both sets are closed.

Shared by the collector, the loader, the Live page, counters and the generated reference.
"""

from enum import StrEnum


class Outcome(StrEnum):
    ACCEPTED = "accepted"  # stored
    FILTERED = "filtered"  # left out on purpose, by a rule somebody can read
    INVALID = "invalid"  # cannot be stored as sent
    RATE_LIMITED = "rate_limited"
    DUPLICATE = "duplicate"  # the same event was stored before
    FAILED = "failed"  # our fault


class Reason(StrEnum):
    """Each member's text is its stable name; `REASONS` says what it means and what to do."""

    STORED = "stored"
    ACCOUNT_CHANGED = "account_changed"
    # filtered
    UNSUPPORTED_EVENT_TYPE = "unsupported_event_type"
    SOURCE_DISABLED = "source_disabled"
    NOT_CONNECTED = "not_connected"
    BLOCKED_BY_INTEGRATIONS = "blocked_by_integrations"
    FILTERED_BY_CONSENT = "filtered_by_consent"
    FILTERED_BY_EVENT_SWITCH = "filtered_by_event_switch"
    FILTERED_BY_RULES = "filtered_by_rules"
    DROPPED_BY_TRANSFORMATION = "dropped_by_transformation"
    NO_MATCHING_MAPPING = "no_matching_mapping"
    SENT_BY_BROWSER = "sent_by_browser"
    LOADED_TWICE = "loaded_twice"
    SDK_HEALTH = "sdk_health"
    BOT = "bot"
    BLOCKED_PAGE = "blocked_page"
    NO_ACCOUNT_KEY = "no_account_key"
    MERGE_TAKEN_BACK = "merge_taken_back"
    # invalid
    MALFORMED_JSON = "malformed_json"
    NOT_UTF8 = "not_utf8"
    TOO_DEEP = "too_deep"
    BODY_TOO_LARGE = "body_too_large"
    EVENT_TOO_LARGE = "event_too_large"
    TOO_MANY_EVENTS = "too_many_events"
    EMPTY_BATCH = "empty_batch"
    UNKNOWN_KEY = "unknown_key"
    SERVER_KEY_NEEDED = "server_key_needed"
    BAD_REQUEST = "bad_request"
    NO_USER = "no_user"
    NO_ACCOUNT = "no_account"
    ID_NOT_STRING = "id_not_string"
    ID_TOO_LONG = "id_too_long"
    TWO_USERS = "two_users"
    JUNK_IDENTITY = "junk_identity"
    IDENTITY_TAKEN = "identity_taken"
    TOO_MANY_USERS_FOR_IDENTITY = "too_many_users_for_identity"
    EVENT_NOT_DEFINED = "event_not_defined"
    EVENT_NOT_STRING = "event_not_string"
    EVENT_NAME_TOO_LONG = "event_name_too_long"
    TYPE_UNKNOWN = "type_unknown"
    PROPERTIES_NOT_OBJECT = "properties_not_object"
    TRAITS_NOT_OBJECT = "traits_not_object"
    MESSAGE_ID_TOO_LONG = "message_id_too_long"
    TOO_MANY_EVENT_NAMES = "too_many_event_names"
    TOO_MANY_PROPERTIES = "too_many_properties"
    BAD_TIMESTAMP = "bad_timestamp"
    TIME_IN_FUTURE = "time_in_future"
    TIME_TOO_OLD = "time_too_old"
    # rate limited
    TOO_MANY_REQUESTS = "too_many_requests"
    # duplicate
    REPEATED_ID = "repeated_id"
    # failed
    NOT_STORED = "not_stored"


REASONS: dict[Reason, tuple[Outcome, str]] = {
    Reason.STORED: (Outcome.ACCEPTED, "Stored and countable."),
    Reason.ACCOUNT_CHANGED: (
        Outcome.ACCEPTED,
        "Kept with the account, for all of its users. It is not a user's event.",
    ),
    Reason.UNSUPPORTED_EVENT_TYPE: (
        Outcome.FILTERED,
        "Segment does not send this call type to Heap (page, screen, group, alias).",
    ),
    Reason.SOURCE_DISABLED: (
        Outcome.FILTERED,
        "The source is switched off. Switch it on to accept its events.",
    ),
    Reason.NOT_CONNECTED: (
        Outcome.FILTERED,
        "The source has no connection to analytics. Connect it to Heap.",
    ),
    Reason.BLOCKED_BY_INTEGRATIONS: (
        Outcome.FILTERED,
        "The event's integrations object says not to send it to Heap.",
    ),
    Reason.FILTERED_BY_CONSENT: (
        Outcome.FILTERED,
        "The visitor did not agree to all categories that the connection to the analytics needs.",
    ),
    Reason.FILTERED_BY_EVENT_SWITCH: (
        Outcome.FILTERED,
        "The event is switched off for the connection to the analytics.",
    ),
    Reason.FILTERED_BY_RULES: (
        Outcome.FILTERED,
        "A filter of the connection to the analytics left it out.",
    ),
    Reason.DROPPED_BY_TRANSFORMATION: (
        Outcome.FILTERED,
        "A transformation of the connection to the analytics dropped it.",
    ),
    Reason.NO_MATCHING_MAPPING: (
        Outcome.FILTERED,
        "No mapping of the connection to the analytics takes this event.",
    ),
    Reason.SENT_BY_BROWSER: (
        Outcome.FILTERED,
        "The browser already delivered this event to analytics in device mode.",
    ),
    Reason.LOADED_TWICE: (
        Outcome.FILTERED,
        "The page loads Heap's library twice: by its own snippet and by analytics.js, or two times by one of them. One "
        "copy runs, so nothing counts twice. Remove the other.",
    ),
    Reason.SDK_HEALTH: (
        Outcome.FILTERED,
        "A flag SDK reported on itself; kept with the connected SDKs, not as behaviour.",
    ),
    Reason.NO_ACCOUNT_KEY: (
        Outcome.FILTERED,
        "No user property names the account of a user yet. Choose the Account ID property under Companies.",
    ),
    Reason.MERGE_TAKEN_BACK: (
        Outcome.FILTERED,
        "A member took this merge back. Only another identify call makes it again.",
    ),
    Reason.BOT: (
        Outcome.FILTERED,
        "The user agent declares a bot. What programs do is not behaviour.",
    ),
    Reason.BLOCKED_PAGE: (
        Outcome.FILTERED,
        "The page is on the environment's block list, or not on its allow list. See Privacy.",
    ),
    Reason.MALFORMED_JSON: (Outcome.INVALID, "The body is not valid JSON."),
    Reason.NOT_UTF8: (Outcome.INVALID, "The body is not valid UTF-8."),
    Reason.TOO_DEEP: (
        Outcome.INVALID,
        "The JSON is nested more than 32 levels deep. Send flatter properties.",
    ),
    Reason.BODY_TOO_LARGE: (Outcome.INVALID, "The request body is over its limit. Send smaller batches."),
    Reason.EVENT_TOO_LARGE: (Outcome.INVALID, "One event may have 32 KB. Send fewer or shorter properties."),
    Reason.TOO_MANY_EVENTS: (Outcome.INVALID, "The batch holds more events than one request may carry."),
    Reason.EMPTY_BATCH: (Outcome.INVALID, "The batch holds no events."),
    Reason.UNKNOWN_KEY: (
        Outcome.INVALID,
        "No environment or source has this key. Copy it again from Environments.",
    ),
    Reason.SERVER_KEY_NEEDED: (
        Outcome.INVALID,
        "The environment takes flag events only with its server SDK key, and this came with the public one. "
        "Give the server key to applications on servers, or switch this off under Environments.",
    ),
    Reason.BAD_REQUEST: (Outcome.INVALID, "A required field is missing or has the wrong type."),
    Reason.NO_USER: (
        Outcome.INVALID,
        "The event names no user. Send an identity, a user id or an anonymous id.",
    ),
    Reason.NO_ACCOUNT: (
        Outcome.INVALID,
        "The user has no account: the Account ID property is empty. Set it first, or send an account_id.",
    ),
    Reason.ID_NOT_STRING: (Outcome.INVALID, "A user's id must be text."),
    Reason.ID_TOO_LONG: (Outcome.INVALID, "A user's id may have 255 characters."),
    Reason.TWO_USERS: (Outcome.INVALID, "Send an identity or a user id, never both."),
    Reason.JUNK_IDENTITY: (
        Outcome.INVALID,
        "This identity would merge unrelated users (null, undefined, guest, ...). Send a real one.",
    ),
    Reason.IDENTITY_TAKEN: (
        Outcome.INVALID,
        "This user id already has another identity; it keeps the first.",
    ),
    Reason.TOO_MANY_USERS_FOR_IDENTITY: (
        Outcome.INVALID,
        "An identity takes at most 10 user ids in a month from servers, and 1,000 in all; this one was ignored.",
    ),
    Reason.EVENT_NOT_DEFINED: (Outcome.INVALID, "The event has no name."),
    Reason.EVENT_NOT_STRING: (Outcome.INVALID, "The event's name must be text."),
    Reason.EVENT_NAME_TOO_LONG: (Outcome.INVALID, "An event's name may have 1,024 characters."),
    Reason.TYPE_UNKNOWN: (
        Outcome.INVALID,
        "The event's type is none of track, identify, page, screen, group, alias.",
    ),
    Reason.PROPERTIES_NOT_OBJECT: (Outcome.INVALID, "Properties must be an object."),
    Reason.TRAITS_NOT_OBJECT: (Outcome.INVALID, "Traits must be an object."),
    Reason.MESSAGE_ID_TOO_LONG: (Outcome.INVALID, "A message id may have 100 characters."),
    Reason.TOO_MANY_EVENT_NAMES: (
        Outcome.INVALID,
        "The environment has 10,000 different event names, and this one is new. Put what varies into a property.",
    ),
    Reason.TOO_MANY_PROPERTIES: (
        Outcome.INVALID,
        "A user or account has at most 500 different properties, an environment 10,000; all of these are new.",
    ),
    Reason.BAD_TIMESTAMP: (Outcome.INVALID, "The timestamp is neither ISO 8601 nor epoch milliseconds."),
    Reason.TIME_IN_FUTURE: (
        Outcome.INVALID,
        "The event's time lies more than a day ahead. Check the sender's clock.",
    ),
    Reason.TIME_TOO_OLD: (
        Outcome.INVALID,
        "The event's time lies before the year 2000. Check its unit and format.",
    ),
    Reason.TOO_MANY_REQUESTS: (
        Outcome.RATE_LIMITED,
        "Too many requests for this user or environment. Send bulk requests.",
    ),
    Reason.REPEATED_ID: (
        Outcome.DUPLICATE,
        "An event with this message id or idempotency key was stored before.",
    ),
    Reason.NOT_STORED: (Outcome.FAILED, "Cairn could not store the event; see the log of the worker."),
}


def outcome_of(reason: Reason) -> Outcome:
    return REASONS[reason][0]

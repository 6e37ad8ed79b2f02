"""What became of a message at a connection. Every message has one outcome at each connection that it reaches."""

from enum import StrEnum


class Discard(StrEnum):
    """Why a message was not sent, in Segment's vocabulary. Source: contracts/segment.md section 4."""

    CONNECTION_DISABLED = "connection_disabled"
    SENT_BY_BROWSER = "message_sent_client_side"
    UNSUPPORTED_TYPE = "unsupported_event_type"
    FILTERED_BY_CONSENT = "filtered_by_end_user_consent"
    FILTERED_BY_INTEGRATIONS = "filtered_by_integrations_object"
    FILTERED_BY_EVENT_SWITCH = "filtered_by_event_switch"
    FILTERED_BY_RULES = "filtered_by_rules"
    DROPPED_BY_TRANSFORMATION = "dropped_by_transformation"
    NO_MATCHING_MAPPING = "no_matching_mapping"
    INVALID_SETTINGS = "invalid_settings"
    MESSAGE_REJECTED = "message_rejected"
    EXPIRED = "expired"  # the connection's time for retries was over


MEANING: dict[Discard, str] = {
    Discard.CONNECTION_DISABLED: "The connection is switched off.",
    Discard.SENT_BY_BROWSER: "The browser already sent this event to the destination in device mode.",
    Discard.UNSUPPORTED_TYPE: "The destination does not take calls of this type.",
    Discard.FILTERED_BY_CONSENT: "The visitor did not agree to all categories of this connection.",
    Discard.FILTERED_BY_INTEGRATIONS: "The event's integrations object says not to send it to this destination.",
    Discard.FILTERED_BY_EVENT_SWITCH: "This event is switched off for the connection.",
    Discard.FILTERED_BY_RULES: "A filter of the connection left it out.",
    Discard.DROPPED_BY_TRANSFORMATION: "A transformation of the connection dropped it.",
    Discard.NO_MATCHING_MAPPING: "No mapping of the connection takes this event.",
    Discard.INVALID_SETTINGS: "The connection's settings are not complete. Correct them.",
    Discard.MESSAGE_REJECTED: "The destination cannot take this event as it is; the detail names the field.",
    Discard.EXPIRED: "The destination did not take it within the connection's time for retries.",
}

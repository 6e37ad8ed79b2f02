"""The one shape of something that happened, and what stands in its place when it cannot be kept.

`wire/` makes drafts from vendors' payloads, `ingest/` completes them, `store/` keeps them.
Times are epoch milliseconds here because this is the hot path: millions of them, compared and stored, never shown.
"""

from typing import Any

from msgspec import Struct, field

from cairn.outcomes import Reason

Scalar = str | int | float | bool

# Characters kept of what one request says for all its events: each event is stored with a copy.
LONGEST_USER_AGENT, LONGEST_LIBRARY, LONGEST_IP = 1_024, 255, 64


class Kind:
    """What sort of thing happened. Text constants, stored as they are."""

    CUSTOM = "custom"
    IDENTIFY = "identify"  # a user got an identity or properties; not behaviour
    EXPOSURE = "exposure"  # a flag SDK showed a variation
    PAGEVIEW = "pageview"
    CLICK = "click"
    CHANGE = "change"
    SUBMIT = "submit"
    TOUCH = "touch"
    SESSION = "session"
    VIEW = "view"  # a screen of an app appeared or went
    NOTIFICATION = "notification"
    VERSION = "version"  # the app was installed or updated
    ACCOUNT = "account"  # an account got properties; kept with the account, never as a user's event


FIRST_SEEN = "First seen"  # the name of an identification that says nothing but that a browser is a new one's

# What is known of the page, session and device beside the event's own properties; columns of the store, in this order.
FACTS: tuple[str, ...] = (
    # page
    "domain",
    "path",
    "query",
    "hash",
    "title",
    "previous_path",
    "view",
    # session: as the client sent them, the same for each event of the session
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
    # device and place
    "platform",
    "device_type",
    "device",
    "browser",
    "browser_version",
    "os",
    "os_version",
    "app_name",
    "app_version",
    "device_id",
    "carrier",
    "country",
    "region",
    "city",
    "ip",
)


class Element(Struct, frozen=True):
    """A captured element's shape. Stored once under `ids.element_id`; events carry the number.

    `hierarchy` is Heap's text, outermost first (contracts/heap.md 5.4); the other fields are the target's own.
    """

    hierarchy: str = ""
    tag: str = ""
    dom_id: str = ""
    classes: str = ""  # space separated, sorted
    text: str = ""
    href: str = ""
    label: str = ""  # accessibility label
    attributes: dict[str, str] = field(default_factory=dict)


class Draft(Struct, gc=False):  # no cycles, and the collector would walk tens of thousands at a time
    """One event on its way in. Mutable: each step of the loader completes it."""

    environment_id: int
    kind: str
    name: str
    time_ms: int  # what the sender said, or received_ms
    received_ms: int
    # who: the first of user_id, identity, anonymous_id that is given decides user_id (identity/resolve)
    user_id: int = 0  # Heap's numeric id; 0 until known
    identity: str = ""
    anonymous_id: str = ""
    # what makes a repeat the same event; empty: none given, the log position is used
    key_space: str = ""
    key: str = ""
    event_id: int = 0
    sent_ms: int = 0  # the sender's clock at sending, for skew; 0 unknown
    late_ms: int = 0  # how far our clock was set back since, for the order of what is set on users
    session_id: int = 0
    pageview_id: int = 0
    properties: dict[str, Scalar] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)  # keys from FACTS
    element: Element | None = None
    element_id: int = 0  # of `element`; 0 until known
    user_properties: dict[str, Scalar] = field(default_factory=dict)  # to set on the user
    merge_user_id: int = 0  # this other user id now belongs to `identity` (identify); 0 none
    account_id: str = ""  # of kind ACCOUNT; empty: that of the user
    source: str = ""  # the source's name; "heap" for the server API
    library: str = ""
    ip: str = ""
    user_agent: str = ""
    log_position: int = (
        0  # from where in which event log it came (log_position.py); a replay has the same one
    )
    # The user is a flag SDK's visitor, which stands for somebody known by another name (ingest/visitors).
    is_visitor: bool = False
    # set when the draft is refused on the way
    reason: Reason | None = None
    detail: str = ""


class Refused(Struct, frozen=True):
    """What is not stored as an event: its reason and what a person needs to find it."""

    environment_id: int  # 0: the key is unknown
    received_ms: int
    reason: Reason
    detail: str = ""  # names the field and the fix
    name: str = ""
    user: str = ""
    source: str = ""
    payload: str = ""  # the first 2,000 characters as received
    log_position: int = 0  # as in Draft; 0: it did not come through the log


class Arrival(Struct, array_like=True, frozen=True):
    """One request as it came in: what the collector writes to the event log and the loader reads.

    `parser` names the wire format (wire.PARSERS). The body is kept as received, so a repaired parser can read it again.
    """

    parser: str
    environment_id: int
    source_id: int
    source: str
    received_ms: int
    ip: str
    user_agent: str
    body: bytes
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def environments(self) -> frozenset[int]:
        """Whose it may become: its own, and those that its source fed when it came."""
        return frozenset((self.environment_id, *self.extra.get("environments", ())))

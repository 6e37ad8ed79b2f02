"""From where in which event log an event came, as one number: its log position. Pure.

From the highest bits: the log's id, the log's entry, the request in it, the event in the request. So positions of two
logs differ whatever their entries are called, those of one log rise with arrival, and those of log 0, which was the
only one before logs had ids, are what they were.
"""

_EVENT_BITS = 14
# Per request with a position of their own; a request carries at most 5,000 events. All beyond are refusals and share
# one position.
MOST_EVENTS = (1 << _EVENT_BITS) - 1
# Group commits are far smaller; one that is larger runs into the next.
_ITEM_BITS = 15
# Ten years of a hundred commits a second.
_ENTRY_BITS = 35
LARGEST_ENTRY = (1 << _ENTRY_BITS) - 1
_ENTRY_SHIFT = _EVENT_BITS + _ITEM_BITS
# Of a position within its log; the log's id lies above.
ORDER_BITS = _ENTRY_SHIFT + _ENTRY_BITS
_ORDER = (1 << ORDER_BITS) - 1


def log_position(log_id: int, entry: int, item: int) -> int:
    """Of a request's first event; its other events follow. It depends on the log only, never on how it is read."""
    return position_of(log_id, (entry << _ENTRY_SHIFT) + (item << _EVENT_BITS))


def position_of(log_id: int, order: int) -> int:
    return log_id << ORDER_BITS | order


def log_of(position: int) -> int:
    return position >> ORDER_BITS


def order_of(position: int) -> int:
    """The position within its log. Shape: 64 bits."""
    return position & _ORDER


def entry_of(position: int) -> int:
    return order_of(position) >> _ENTRY_SHIFT


def item_of(position: int) -> int:
    """Which of its entry's items it came in."""
    return position >> _EVENT_BITS & (1 << _ITEM_BITS) - 1

"""The e-mail address that Segment's classic Heap destination sends as `_email`. Pure.

Source: contracts/segment.md 5.1 columns A and B, 5.3: the call's own `email`, else that of `context.traits`, else a
user id that is an address itself.
"""

import re
from typing import Any

_ADDRESS = re.compile(r".+@.+\..+")
_LONGEST = 320  # characters; no address is longer


def email_of(
    own: Any, known: dict[str, Any] | None, user_id: str | None, *, is_identify: bool
) -> str | None:  # Any: foreign JSON
    """`own`: the call's property or trait `email`. `known`: its `context.traits`, which identify does not ask."""
    if isinstance(own, str) and own:
        return own
    email = known.get("email") if known and not is_identify else None
    if isinstance(email, str) and email:
        return email
    is_address = user_id and "@" in user_id and len(user_id) <= _LONGEST and _ADDRESS.match(user_id)
    return user_id if is_address else None

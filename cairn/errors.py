"""Every error Cairn raises on purpose.

    CairnError
    ├── InvalidInput      the caller sent something that cannot be accepted; change it
    ├── NotFound          no such thing here
    ├── Conflict          it would contradict what is already there
    ├── NotAllowed        signed out, or the role does not permit it
    ├── LimitExceeded     too big, too many, too fast
    ├── Unavailable       something we need is away; trying again may help
    └── Misconfigured     the operator must act

Leaves name the fact and live beside what raises them; the first level says what a caller can do about it.
Only the edges translate: api to a problem document, web to a page, cli to a line and an exit status.
"""

from typing import ClassVar


class CairnError(Exception):
    """Something Cairn could not do."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    exit_status: ClassVar[int] = 1
    field: str = ""  # the input field at fault, where there is one

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class InvalidInput(CairnError):
    """The input cannot be accepted. The message names the field and the accepted form."""

    code = "invalid_input"
    status = 422
    exit_status = 2


class NotFound(CairnError):
    """There is no such thing, or it belongs to another workspace."""

    code = "not_found"
    status = 404
    exit_status = 3


class Conflict(CairnError):
    """The change contradicts what is already there, for instance a key that is taken."""

    code = "conflict"
    status = 409
    exit_status = 4


class NotAllowed(CairnError):
    """The caller is not signed in, or may not do this."""

    code = "not_allowed"
    status = 403
    exit_status = 5


class NotSignedIn(NotAllowed):
    """No valid session or token came with the request. Sign in, or send `Authorization: Bearer <token>`."""

    code = "not_signed_in"
    status = 401


class LimitExceeded(CairnError):
    """Too big, too many or too fast. The message names the limit."""

    code = "limit_exceeded"
    status = 413
    exit_status = 6


class Unavailable(CairnError):
    """Something Cairn needs is away for the moment. Nothing was lost; try again."""

    code = "unavailable"
    status = 503
    exit_status = 7


class Misconfigured(CairnError):
    """Cairn cannot run as configured. The message names the setting and the accepted form."""

    code = "misconfigured"
    status = 500
    exit_status = 8

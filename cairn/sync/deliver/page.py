"""What a target is told at a time: a page of a task."""

from collections.abc import Callable

from msgspec import Struct

from cairn.errors import Unavailable

PAGE_MEMBERS = 1_000


class Page(Struct, frozen=True):
    task_id: str
    number: int  # from 1
    total: int
    segment_id: int
    segment_key: str
    segment_name: str
    environment_id: int
    environment_name: str
    add: list[str]
    remove: list[str]


class NotAccepted(Unavailable):
    """The target did not take a page. It is sent again, the same under the same id."""

    code = "page_not_accepted"

    def __init__(self, why: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


# Tells one page, and raises NotAccepted, CallRefused or CallFailed when the target has not taken it.
Deliver = Callable[[Page], None]

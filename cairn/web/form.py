"""What a form sent: names and values as typed. Only the plain form encoding is read, and only so much of it."""

from collections.abc import Iterator
from urllib.parse import parse_qsl

from starlette.requests import Request

from cairn.errors import InvalidInput, LimitExceeded

MAX_BODY = 512 * 1024  # bytes; the largest form is a segment of some hundred rows
MAX_FIELDS = 2000


class Form:
    def __init__(self, pairs: list[tuple[str, str]] | None = None) -> None:
        self._pairs = pairs or []
        self._last = dict(self._pairs)

    def __call__(self, name: str, default: str = "") -> str:
        """The last value of a name, as typed."""
        return self._last.get(name, default)

    def __contains__(self, name: str) -> bool:
        return name in self._last

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)

    def line(self, name: str, default: str = "") -> str:
        """The same without the blanks around it."""
        return self(name, default).strip()


async def read_form(request: Request) -> Form:
    """Raises InvalidInput and LimitExceeded."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise LimitExceeded(f"a form may have {MAX_BODY // 1024} kB; this one has more")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not body:
        return Form()
    if kind != "application/x-www-form-urlencoded":
        raise InvalidInput("a form is expected as application/x-www-form-urlencoded", field="content-type")
    try:
        return Form(
            parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
        )
    except ValueError as error:
        raise InvalidInput(f"the form cannot be read: {error}") from error

"""Lets what SDKs really write into a request line through to the application.

The Node SDK puts attribute values into the URL unescaped: bytes above 0x7F, which the HTTP parser refuses, and `#`,
which it takes for the start of a fragment and cuts. So the line is escaped before the parser sees it, and the
application gets, beside the escaped query, the query as it was written (contracts/wingify.md 5.2).
"""

import re
from typing import Any
from urllib.parse import quote_from_bytes

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_UNSAFE = re.compile(rb"[\x80-\xff]+")
WRITTEN_QUERY = "cairn.written_query"  # the scope's key for the query's bytes as the caller wrote them
LONGEST_LINE = 65_536  # bytes; 4 times what common servers accept


def escaped(target: bytes) -> bytes:
    """A request target every HTTP/1.1 parser accepts; ASCII but for `#` stays as it is."""
    return _UNSAFE.sub(_quoted, target).replace(b"#", b"%23")


class LenientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with the request line repaired before it is parsed.

    Limit: a line that arrives in the same packet behind another request (pipelining, which no SDK does) stays;
    the parser takes it as it is, or refuses it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: uvicorn's own signature
        super().__init__(*args, **kwargs)
        self._in_line = True
        self._line = b""  # the line so far, kept only when it had to be escaped or is not whole yet
        self.has_completed = False  # a request ended in this packet

    def data_received(self, data: bytes) -> None:
        self.has_completed = False
        if self._in_line:
            data = self._mended(data)
            if len(self._line) > LONGEST_LINE:
                self.send_400_response("Request line too long.")
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self.has_completed:
            self._in_line = (
                False  # its line is in the parser already; what comes next is not a beginning of one
            )

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_line, self._line, self.has_completed = True, b"", True

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        # The application starts only after this callback, so it never sees the parser's version.
        written = self._line.split(b" ", 2)[1] if self._line else self.url
        query = written.partition(b"?")[2]
        self.scope["query_string"] = escaped(query)
        self.scope[WRITTEN_QUERY] = query  # type: ignore[literal-required]

    def _mended(self, data: bytes) -> bytes:
        if not self._line:
            data = data.lstrip(b"\r\n")  # empty lines before a request are allowed
            if not data:
                return data
        line, newline, rest = data.partition(b"\n")
        self._in_line = not newline
        if newline and not self._line and line.isascii():
            return data
        self._line += line
        return _UNSAFE.sub(_quoted, line) + newline + rest


def _quoted(match: re.Match[bytes]) -> bytes:
    return quote_from_bytes(match[0]).encode()

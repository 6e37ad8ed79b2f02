"""Reading uploaded values, one at a time, whatever size the file has: JSON, CSV (its first column) or plain lines.

Nothing is changed from here. A file with a bad line yields what it has until that is known, then raises ValuesRefused:
the caller keeps the values aside until the end.
"""

import csv
import re
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO, Literal

import msgspec
from msgspec import Struct

from cairn.errors import InvalidInput

MOST_CHARACTERS = 1_000  # of a value
MOST_LINE_BYTES = 65_536  # of a line with all its columns
MOST_REFUSED = 10  # bad lines that are named; the rest of the file is not read
# Values that are held, and written, at once. Sorted, they touch few pages of the store: fewer would take longer in all,
# more would keep other writers waiting (about 0.2 s).
PIECE = 40_000
_BOM = b"\xef\xbb\xbf"
_READ_BYTES = 65_536
_OPENING = re.compile(rb'\s*\{\s*"values"\s*:\s*\[')
_TEXT = re.compile(rb'\s*("(?:[^"\\]|\\.)*+")\s*([,\]])', re.DOTALL)
_END = re.compile(rb"\s*\}\s*\Z")
# The longest way to write the longest value in JSON: every character as two escapes.
_MOST_TOKEN_BYTES = 12 * MOST_CHARACTERS + 1_000
# What a first line says that names its column.
_HEADINGS = frozenset(
    (
        "value",
        "values",
        "id",
        "ids",
        "uuid",
        "user",
        "users",
        "user id",
        "user ids",
        "identity",
        "identities",
        "email",
        "emails",
        "e-mail",
        "e-mails",
        "e-mail address",
        "email address",
        "customer id",
        "account id",
        "visitor id",
    )
)

Format = Literal["json", "csv", "text"]
Heading = Literal["auto", "yes", "no"]


class ValuesRefused(InvalidInput):
    """Some lines of the upload cannot be values, so nothing was changed. `errors` names the first ten; correct them."""

    code = "values_refused"

    def __init__(self, errors: list[str]) -> None:
        self.errors = tuple(errors)
        more = " (the first of them)" if len(errors) == MOST_REFUSED else ""
        super().__init__(f"nothing was changed{more}: {'; '.join(errors)}", field="values")


class Upload(Struct, frozen=True):
    file: BinaryIO  # at its start
    format: Format
    heading: Heading = "auto"  # whether the first line names the column


class Reading:
    """One reading of an upload: iterate over `pieces`, then `heading` and `columns` are known."""

    def __init__(self, upload: Upload) -> None:
        self.heading = ""  # the first line, if it was taken for the column's name
        self.columns = 1
        self._upload = upload
        self._errors: list[str] = []

    def pieces(self) -> Iterator[list[str]]:
        """The values without the blanks around them; those of one piece fit into memory. Raises ValuesRefused."""
        values = self._checked()
        while piece := list(islice(values, PIECE)):
            yield piece
        if self._errors:
            raise ValuesRefused(self._errors)

    def _checked(self) -> Iterator[str]:
        unit = "value" if self._upload.format == "json" else "line"
        for number, text in self._texts():
            value = text.strip()
            if value.isprintable() and 0 < len(value) <= MOST_CHARACTERS:
                yield value
            elif reason := why_refused(value):
                self._refuse(f"{unit} {number}: {reason}")
            else:
                yield value
            if len(self._errors) == MOST_REFUSED:
                return

    def _refuse(self, error: str) -> None:
        if len(self._errors) < MOST_REFUSED:
            self._errors.append(error)

    def _texts(self) -> Iterator[tuple[int, str]]:
        match self._upload.format:
            case "json":
                return _json_texts(self._upload.file)
            case "csv":
                return self._rows()
            case _:
                return self._without_heading(
                    (number, line.rstrip("\r\n")) for number, line in self._lines() if line.strip()
                )

    def _rows(self) -> Iterator[tuple[int, str]]:
        return self._without_heading(self._cells())

    def _cells(self) -> Iterator[tuple[int, str]]:
        """The first column of each row that has anything."""
        lines, separator = self._lines(), ""
        for number, line in lines:
            if not line or line.isspace():
                continue
            if not separator:
                separator = "," if "," in line else next((sign for sign in ";\t" if sign in line), ",")
                self.columns = line.count(separator) + 1
            if '"' not in line:
                cell = line.partition(separator)[0]
                if cell or line.strip(f"{separator} \r\n"):  # spreadsheets write rows of nothing
                    yield number, cell
            elif row := self._quoted(line, lines, separator):
                yield self._line_number, row[0]

    def _quoted(self, line: str, lines: Iterator[tuple[int, str]], separator: str) -> list[str]:
        """A row with quotes, which may take more lines; empty: it is none."""
        following = _chained(line, (more for _, more in lines))
        try:
            return next(csv.reader(following, delimiter=separator, strict=True), [])
        except csv.Error as error:
            self._refuse(f"line {self._line_number}: {_message_of(error)}")
            return []

    _line_number = 0

    def _lines(self) -> Iterator[tuple[int, str]]:
        """Lines with their ends. One that is too long or no UTF-8 is refused, and an empty one stands for it."""
        file, number = self._upload.file, 0
        while line := file.readline(MOST_LINE_BYTES):
            number += 1
            self._line_number = number
            if number == 1:
                line = line.removeprefix(_BOM)
            if len(line) >= MOST_LINE_BYTES - len(_BOM) and not line.endswith(b"\n"):
                self._refuse(f"line {number}: over {MOST_LINE_BYTES:,} bytes; put one value on each line")
                while line and not line.endswith(b"\n"):
                    line = file.readline(MOST_LINE_BYTES)
                line = b"\n"
            try:
                text = line.decode()
            except UnicodeDecodeError:
                self._refuse(f"line {number}: not UTF-8; save the file as UTF-8")
                text = "\n"
            yield number, text
            if len(self._errors) == MOST_REFUSED:
                return

    def _without_heading(self, texts: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
        first = next(texts, None)
        if first is None:
            return
        name = first[1].strip()
        if self._upload.heading == "yes" or (self._upload.heading == "auto" and is_heading(name)):
            self.heading = name[:MOST_CHARACTERS]
        else:
            yield first
        yield from texts


def is_heading(text: str) -> bool:
    """Whether the first line is read as the name of its column by default."""
    return text.lower().replace("_", " ") in _HEADINGS


def why_refused(value: str) -> str:
    """Empty: it can be a value. `value` has no blanks around it."""
    if not value:
        return "empty"
    if len(value) > MOST_CHARACTERS:
        return f"{len(value):,} characters; a value may have {MOST_CHARACTERS:,}"
    if any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in value):
        return "holds a control character; save the file as plain text in UTF-8"
    if any(0xD800 <= ord(sign) < 0xE000 for sign in value):
        return "holds half of a character"
    return ""


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    if first:
        yield first
    yield from rest


def _message_of(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end" in text:
        return "a quote is opened and not closed"
    if "field larger" in text:
        return "a quote is opened and not closed, or a column is too long"
    if "expected after" in text:
        return "text follows a closing quote; write a quote within quotes twice"
    return f"not CSV: {text}"


def _json_texts(file: BinaryIO) -> Iterator[tuple[int, str]]:
    """Of `{"values": ["…", …]}`, read in pieces. Raises InvalidInput where it is something else."""
    buffer = file.read(_READ_BYTES).removeprefix(_BOM)
    opening = _OPENING.match(buffer)
    if opening is None:
        raise _malformed("the body does not begin with it")
    at, number, separator = opening.end(), 0, b""
    if empty := re.compile(rb"\s*\]").match(buffer, at):
        at, separator = empty.end(), b"]"
    while separator != b"]":
        match = _TEXT.match(buffer, at)
        if match is None:
            more = file.read(_READ_BYTES)
            if not more or len(buffer) - at > _MOST_TOKEN_BYTES:
                raise _malformed(f"value {number + 1} is not a text, or too long")
            buffer, at = buffer[at:] + more, 0
            continue
        number, at, separator = number + 1, match.end(), match[2]
        yield number, _decoded(match[1], number)
    rest = buffer[at:]
    while len(rest) < _MOST_TOKEN_BYTES and (more := file.read(_READ_BYTES)):
        rest += more
    if not _END.match(rest):
        raise _malformed(f"something follows value {number}")


def _decoded(token: bytes, number: int) -> str:
    try:
        return msgspec.json.decode(token, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _malformed(f"value {number} is not a text in UTF-8") from error


def _malformed(why: str) -> InvalidInput:
    return InvalidInput(f'values: expected {{"values": ["…", …]}}; {why}', field="values")

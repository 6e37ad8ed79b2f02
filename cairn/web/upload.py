"""A form with a file: fields as typed, and the file written to disk as it comes, whatever its size."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from cairn.app.core import Core
from cairn.errors import InvalidInput, LimitExceeded
from cairn.lists.spool import MOST_BYTES, UploadTooLarge, check_space
from cairn.lists.upload import Format, Upload
from cairn.paths import Paths
from cairn.web.form import MAX_BODY, Form

_MOST_PARTS = 20
_WRITTEN_BYTES = 1 << 20  # at once
_FORMATS: dict[str, Format] = {".json": "json", ".txt": "text"}  # by the end of the file's name; else CSV


@asynccontextmanager
async def uploaded(core: Core, request: Request) -> AsyncIterator[tuple[Form, Upload | None]]:
    """The file is None where none was chosen. Raises InvalidInput, LimitExceeded, UploadsBusy and DiskFull."""
    folder = Paths(core.settings.data_dir).temporary
    with core.spools.open(folder) as file:
        parts = _Parts(file)
        parser = _parser(request, parts)
        async for chunk in request.stream():
            try:
                parser.write(chunk)
            except FormParserError as error:
                raise InvalidInput(f"the form cannot be read: {error}") from error
            if len(parts.waiting) >= _WRITTEN_BYTES:
                check_space(folder)
                await run_in_threadpool(parts.flush)
        await run_in_threadpool(parts.flush)
        file.seek(0)
        yield Form(parts.fields), parts.upload()


def _parser(request: Request, parts: "_Parts") -> MultipartParser:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise InvalidInput("a form is expected as multipart/form-data", field="content-type")
    return MultipartParser(
        options[b"boundary"],
        {
            "on_part_begin": parts.begin,
            "on_header_field": parts.header_name,
            "on_header_value": parts.header_value,
            "on_header_end": parts.header_end,
            "on_part_data": parts.data,
            "on_part_end": parts.end,
        },
    )


class _Parts:
    """What the parser has found so far."""

    def __init__(self, file: BinaryIO) -> None:
        self.fields: list[tuple[str, str]] = []
        self.waiting = bytearray()  # of the file, not yet written
        self._file, self._file_name = file, ""
        self._count = self._field_bytes = self._file_bytes = 0
        self._is_file = False
        self._name = ""
        self._header, self._value, self._field = bytearray(), bytearray(), bytearray()

    def begin(self) -> None:
        self._count += 1
        if self._count > _MOST_PARTS:
            raise LimitExceeded(f"a form with a file may have {_MOST_PARTS} fields")
        self._name, self._is_file = "", False
        self._field.clear()

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._name = options.get(b"name", b"").decode("utf-8", "replace")
            if b"filename" in options:
                self._begin_file(options[b"filename"].decode("utf-8", "replace"))
        self._header.clear()
        self._value.clear()

    def _begin_file(self, name: str) -> None:
        if self._file_name:
            raise InvalidInput("choose one file", field="file")
        self._is_file, self._file_name = True, name

    def data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self.waiting += data[start:end]
            self._file_bytes += end - start
            if self._file_bytes > MOST_BYTES:
                raise UploadTooLarge
            return
        self._field += data[start:end]
        self._field_bytes += end - start
        if self._field_bytes > MAX_BODY:
            raise LimitExceeded(f"the fields of a form may have {MAX_BODY // 1024} kB")

    def end(self) -> None:
        if not self._is_file:
            self.fields.append((self._name, self._field.decode("utf-8", "replace")))

    def flush(self) -> None:
        self._file.write(self.waiting)
        self.waiting.clear()

    def upload(self) -> Upload | None:
        if not self._file_name:
            return None
        end = self._file_name[self._file_name.rfind(".") :].lower()
        return Upload(self._file, _FORMATS.get(end, "csv"))

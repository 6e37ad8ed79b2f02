"""Receiving a body that is a file: written to disk as it comes, whatever its size, and read from there."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from cairn.api.body import WrongMediaType
from cairn.app.core import Core
from cairn.lists.spool import MOST_BYTES, UploadTooLarge, check_space
from cairn.lists.upload import Format, Upload
from cairn.paths import Paths

FORMATS: dict[str, Format] = {"application/json": "json", "text/csv": "csv", "text/plain": "text"}
_WRITTEN_BYTES = 1 << 20  # at once
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([\w-]+)", re.IGNORECASE)


def format_of(request: Request) -> Format:
    """Raises WrongMediaType."""
    header = request.headers.get("content-type", "")
    named = FORMATS.get(header.partition(";")[0].strip().lower())
    charset = _CHARSET.search(header)
    if named is None or (charset and charset[1].lower() not in ("utf-8", "utf8", "us-ascii")):
        raise WrongMediaType(f"send the body as one of {', '.join(FORMATS)}, in UTF-8")
    return named


@asynccontextmanager
async def spooled(core: Core, request: Request) -> AsyncIterator[Upload]:
    """Raises WrongMediaType, UploadTooLarge, UploadsBusy and DiskFull."""
    named, folder = format_of(request), Paths(core.settings.data_dir).temporary
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > MOST_BYTES:
        raise UploadTooLarge
    with core.spools.open(folder) as file:
        size, waiting = 0, bytearray()
        async for part in request.stream():
            size += len(part)
            if size > MOST_BYTES:
                raise UploadTooLarge
            waiting += part
            if len(waiting) >= _WRITTEN_BYTES:
                check_space(folder)
                await run_in_threadpool(file.write, bytes(waiting))
                waiting.clear()
        file.write(waiting)
        file.seek(0)
        yield Upload(file, named)

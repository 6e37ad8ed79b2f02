"""Finding entries in files that SQLite no longer reads, whatever else in them is damaged.

SQLite gives up a file for one byte of its header, a branch of its tree for one of an inner page, and the end of a
write-ahead file for one of a frame. Our rows lie in leaf pages, with what does not fit there in chains of overflow
pages; these are looked for one by one. A row is believed when its own checksum fits, so nothing else needs to be.
Source: https://www.sqlite.org/fileformat2.html, sections 1.5, 1.6, 2.1 and 4.1.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from cairn.eventlog.log import Entry
from cairn.eventlog.log_table import PAGE_BYTES, entry_of

_WAL_HEADER, _FRAME_HEADER = 32, 24  # bytes
_FRAME = _FRAME_HEADER + PAGE_BYTES
_NO_LEAVES = frozenset(
    (0x00, 0x02, 0x05, 0x0A)
)  # overflow and inner pages; any other type may be a damaged one
_LEAF_HEADER, _SMALLEST_CELL = 8, 6  # bytes
_LARGEST_BODY = 2**31
_INTEGER_BYTES = (0, 1, 2, 3, 4, 6, 8, 0, 0, 0)  # by serial type; 8 and 9 are the numbers 0 and 1
_LARGEST_LOCAL = PAGE_BYTES - 35  # of a row, within its leaf page
_SMALLEST_LOCAL = (PAGE_BYTES - 12) * 32 // 255 - 23

_Page = Callable[[int], bytes]  # number -> image; empty when there is none


def salvaged(path: Path, *, after: int) -> Iterator[Entry]:
    """Entries after a position, in any order, the same one more than once: the first is its newest state.

    Nobody may have the file open in this process: closing it here would end SQLite's locks.
    """
    frames = list(_frames(path.with_name(path.name + "-wal")))
    current = frames[0][1] if frames else b""
    newest = {number: image for number, salts, image in frames if salts == current}
    # Behind the current frames are those from before the file was last reset; they help where nothing else does.
    older = {number: image for number, salts, image in frames if salts != current}
    with path.open("rb") as file:

        def page(number: int) -> bytes:
            if (image := newest.get(number)) is not None:
                return image
            file.seek(max(0, number - 1) * PAGE_BYTES)
            return _whole(file.read(PAGE_BYTES)) if number else b""

        for _, _, image in reversed(frames):
            yield from _entries(image, after, page)
            yield from _entries(image, after, lambda number: older.get(number) or page(number))
        for number in range(1, path.stat().st_size // PAGE_BYTES + 2):
            file.seek((number - 1) * PAGE_BYTES)
            yield from _entries(_whole(file.read(PAGE_BYTES)), after, page)


def salvaged_end(wal: Path, *, after: int) -> Iterator[Entry]:
    """The same from a write-ahead file alone: what was appended after a position that SQLite still sees."""
    frames = list(_frames(wal))
    newest = {number: image for number, _, image in reversed(frames)}
    newest |= {number: image for number, salts, image in frames if salts == frames[0][1]}
    for _, _, image in reversed(frames):
        yield from _entries(image, after, lambda number: newest.get(number, b""))


def _frames(wal: Path) -> Iterator[tuple[int, bytes, bytes]]:
    """Page number, salts and image of every frame."""
    body = wal.read_bytes() if wal.exists() else b""
    for start in range(_WAL_HEADER, len(body), _FRAME):
        number = int.from_bytes(body[start : start + 4], "big")
        yield number, body[start + 8 : start + 16], _whole(body[start + _FRAME_HEADER : start + _FRAME])


def _whole(image: bytes) -> bytes:
    """A page that was cut off may still hold whole rows."""
    return image.ljust(PAGE_BYTES, b"\0") if image else image


def _entries(image: bytes, after: int, page: _Page) -> Iterator[Entry]:
    if len(image) < PAGE_BYTES or image[0] in _NO_LEAVES:
        return
    cells = min(int.from_bytes(image[3:5], "big"), PAGE_BYTES // _SMALLEST_CELL)
    for pointer in range(_LEAF_HEADER, _LEAF_HEADER + 2 * cells, 2):
        try:
            entry = _entry(image, int.from_bytes(image[pointer : pointer + 2], "big"), after, page)
        except (IndexError, ValueError):
            continue  # it leads out of its page: damaged
        if entry is not None:
            yield entry


def _entry(image: bytes, offset: int, after: int, page: _Page) -> Entry | None:
    size, offset = _varint(image, offset)
    position, offset = _varint(image, offset)
    if position <= after or size > _LARGEST_BODY:
        return None
    record = _record(image, offset, size, page)
    head_bytes, at = _varint(record, 0)
    _, at = _varint(record, at)  # the position is the row's number, so its column is empty
    checksum_type, at = _varint(record, at)
    body = head_bytes + _INTEGER_BYTES[checksum_type]
    checksum = int.from_bytes(record[head_bytes:body], "big", signed=True)
    return entry_of(position, checksum_type - 8 if checksum_type >= 8 else checksum, record[body:])


def _record(image: bytes, offset: int, size: int, page: _Page) -> bytes:
    """The row's bytes, gathered from its leaf page and its overflow pages."""
    if size <= _LARGEST_LOCAL:
        return image[offset : offset + size]
    local = _SMALLEST_LOCAL + (size - _SMALLEST_LOCAL) % (PAGE_BYTES - 4)
    local = local if local <= _LARGEST_LOCAL else _SMALLEST_LOCAL
    parts = [image[offset : offset + local]]
    missing, number = size - local, int.from_bytes(image[offset + local : offset + local + 4], "big")
    while missing > 0:
        overflow = page(number)
        if len(overflow) < PAGE_BYTES:
            raise ValueError("the chain of overflow pages is broken")
        parts.append(overflow[4 : 4 + missing])
        missing, number = missing - (PAGE_BYTES - 4), int.from_bytes(overflow[:4], "big")
    return b"".join(parts)


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    """A number and the place behind it."""
    value = 0
    for at in range(offset, offset + 8):
        value = value << 7 | data[at] & 0x7F
        if data[at] < 0x80:
            return value, at + 1
    return value << 8 | data[offset + 8], offset + 9

"""Parts that a full disk cut off, and how they are found and set aside.

When a write meets a full disk the engine (measured with chDB 26.9) keeps the part as if it were whole, with every file
empty. Questions that meet it fail, and starting on a disk that was still full was seen to lose what it was merged from.
Set aside before the start, those parts are loaded again; rows that were in no other part are still in the event log.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

_PARTS = "store/*/*/[!t]*_*"  # not tmp_…: those are still being written


def cut_off_parts(folder: Path) -> Iterator[Path]:
    """In the store of this folder. A part's list of checksums is written last; in a whole one it holds something."""
    for checksums in folder.glob(f"{_PARTS}/checksums.txt"):
        try:
            if checksums.parent.parent.name != "detached" and not checksums.stat().st_size:
                yield checksums.parent
        except OSError:
            continue  # merged away meanwhile


def set_aside(folder: Path) -> list[str]:
    """Move them where the engine does not look. Only while it is not open. Raises OSError."""
    names = []
    for part in list(cut_off_parts(folder)):
        aside = part.parent / "detached" / f"cut-off_{part.name}"
        aside.parent.mkdir(exist_ok=True)
        shutil.rmtree(aside, ignore_errors=True)
        os.rename(part, aside)
        names.append(part.name)
    return names

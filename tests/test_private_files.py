"""Nobody else on the machine reads what Cairn keeps, or speaks to its core."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from cairn.private_files import narrow
from tests.served import Served


def open_to_others(folder: Path) -> list[str]:
    paths = [folder, *folder.rglob("*")]
    return sorted(
        str(path.relative_to(folder.parent))
        for path in paths
        if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) & 0o077
    )


@pytest.fixture
def wide_umask() -> Iterator[None]:
    before = os.umask(0o000)
    yield
    os.umask(before)


def test_files_folders_and_sockets_are_their_owners_alone_and_wider_ones_are_narrowed(
    tmp_path: Path, wide_umask: None
) -> None:
    data = tmp_path / "data"
    cairn = Served(data).make_demo().start()
    try:
        assert open_to_others(data) == []
        assert stat.S_IMODE((data / "core.sock").stat().st_mode) == 0o600
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
    finally:
        assert cairn.stop() == 0
    assert open_to_others(data) == []
    data.chmod(0o755)
    (data / "secret.key").chmod(0o644)
    (data / "log").chmod(0o777)
    (data / "elsewhere").symlink_to(tmp_path)
    tmp_path.chmod(0o755)
    cairn.start()
    try:
        (data / "elsewhere").unlink()
        assert open_to_others(data) == []
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755, "links lead out of what is ours"
        said = cairn.errors.read_text()
        assert "3 files and folders were open to other users" in said
        assert ("running as root" in said) == (os.geteuid() == 0)
    finally:
        assert cairn.stop() == 0


@pytest.mark.parametrize("shared", ["sticky", "full of other things"])
def test_a_folder_that_is_not_cairns_is_left_as_it_is(tmp_path: Path, shared: str) -> None:
    (tmp_path / "edge.lock").touch(0o600)
    if shared == "full of other things":
        (tmp_path / "letters.txt").touch(0o644)
    tmp_path.chmod(0o1777 if shared == "sticky" else 0o755)
    before = stat.S_IMODE(tmp_path.stat().st_mode)
    assert narrow(tmp_path) == 0
    assert stat.S_IMODE(tmp_path.stat().st_mode) == before

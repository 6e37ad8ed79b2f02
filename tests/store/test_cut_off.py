"""A part that a full disk cut off is set aside at the next start, and nothing that was merged into it is lost."""

from pathlib import Path

from cairn.event import Draft
from cairn.store.clickhouse import ClickHouseStore
from cairn.store.cut_off import cut_off_parts
from cairn.store.embedded import open_embedded
from cairn.store.question import ad_hoc
from tests.store.engine import engine_of

COUNT = "SELECT count() FROM cairn.events WHERE environment_id = {environment:UInt32}"
NOW_MS = 1_770_000_000_000


def events(first: int, count: int) -> list[Draft]:
    return [
        Draft(1, "custom", "Buy", NOW_MS + number, NOW_MS, user_id=1, event_id=number, log_position=number)
        for number in range(first, first + count)
    ]


def merged(store: ClickHouseStore, folder: Path) -> None:
    store.insert_events(events(1, 20))
    store.insert_events(events(100, 30))
    with engine_of(folder) as engine:
        engine.run("OPTIMIZE TABLE cairn.events FINAL")


def test_what_was_merged_into_it_is_there_again(tmp_path: Path) -> None:
    store = open_embedded(tmp_path / "store", memory_mb=512)
    merged(store, tmp_path / "store")
    assert not list(cut_off_parts(tmp_path / "store"))
    # Two were merged into one; the engine keeps them for some minutes.
    [merge] = [path for path in (tmp_path / "store").glob("store/*/*/202602_*_1") if path.is_dir()]
    store.close()
    for file in merge.rglob("*"):
        if file.is_file():
            file.write_bytes(b"")  # as a full disk leaves it
    assert list(cut_off_parts(tmp_path / "store")) == [merge]

    store = open_embedded(tmp_path / "store", memory_mb=512)
    assert store.query(ad_hoc(1, COUNT)) == [(50,)]
    assert not list(cut_off_parts(tmp_path / "store"))
    assert (merge.parent / "detached" / f"cut-off_{merge.name}").is_dir()
    store.insert_events(events(200, 1))
    assert store.query(ad_hoc(1, COUNT)) == [(51,)]
    store.close()

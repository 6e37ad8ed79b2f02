from hypothesis import given, settings
from hypothesis import strategies as st

from cairn.query.bindings import Bindings
from cairn.query.cursor import Cursor, older, read_cursor
from cairn.store.question import ad_hoc
from cairn.store.store import Store

rows = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 2**64 - 1)), max_size=12, unique=True)


@given(found=rows, size=st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_pages_together_hold_every_row_once_and_in_order(
    store: Store, found: list[tuple[int, int]], size: int
) -> None:
    pages, cursor = [], None
    while True:
        bindings = Bindings()
        values = bindings.bind(tuple(found), "Array(Tuple(Int64, UInt64))")
        sql = f"""SELECT row.1 AS at, row.2 AS id FROM (SELECT arrayJoin({values}) AS row)
                  WHERE {older("at", "id", cursor, bindings)} AND 1 = {{environment:UInt32}}
                  ORDER BY at DESC, id DESC LIMIT {size}"""
        page = store.query(ad_hoc(1, sql, bindings.values))
        pages += page
        if len(page) < size:
            break
        cursor = read_cursor(str(Cursor(*page[-1])))
        assert cursor is not None
    assert pages == sorted(found, reverse=True)

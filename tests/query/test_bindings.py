import pytest

from cairn.query.bindings import MOST, SMALL_SET, Bindings
from cairn.store.question import ad_hoc
from cairn.store.store import Store

HOSTILE = [
    "it's",
    "a\\b",
    "') OR 1=1 --",
    "{environment:UInt32}",
    "; DROP TABLE cairn.events",
    "🪨",
    "\0",
    "",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_a_value_and_never_part_of_the_statement(store: Store, text: str) -> None:
    bindings = Bindings()
    sql = (
        f"SELECT {bindings.text(text)}, {bindings.bind((text, 'x'), 'Array(String)')}, {{environment:UInt32}}"
    )
    assert not text or text not in sql or text == "{environment:UInt32}"
    assert store.query(ad_hoc(1, sql, bindings.values)) == [(text, [text, "x"], 1)]


def test_equal_values_are_bound_once_and_equal_ones_of_another_type_beside_them() -> None:
    bindings = Bindings()
    assert bindings.text("1") == bindings.text("1") != bindings.whole(1)
    assert sorted(map(str, bindings.values.values())) == ["1", "1"]


@pytest.mark.parametrize(
    "count", [1, SMALL_SET, SMALL_SET + 1], ids=["one", "the longest list", "a subquery"]
)
def test_a_set_holds_its_values_whatever_its_size(store: Store, count: int) -> None:
    bindings = Bindings()
    among = bindings.contains("number", tuple(range(count)), "UInt64")
    sql = f"SELECT count() FROM numbers({2 * SMALL_SET}) WHERE {among} AND 1 = {{environment:UInt32}}"
    assert store.query(ad_hoc(1, sql, bindings.values)) == [(count,)]


def test_a_number_is_cut_to_what_the_store_holds() -> None:
    bindings = Bindings()
    bindings.whole(10**30)
    bindings.whole(-(10**30))
    assert list(bindings.values.values()) == [MOST, -MOST]

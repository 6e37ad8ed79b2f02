"""What the list check asks, byte by byte (the values a real Node SDK writes unescaped)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn.gateway.list_check import Question, question
from cairn.gateway.request_line import escaped


@pytest.mark.parametrize(
    ("value", "readings"),
    [
        pytest.param(b"a@b.com", ("a@b.com",), id="plain"),
        pytest.param(b"a+b@x.com", ("a+b@x.com",), id="plus is a plus"),
        pytest.param(b"a&b", ("a&b",), id="ampersand"),
        pytest.param(b"a&listId=9&accountId=1&b", ("a&listId=9&accountId=1&b",), id="looks like the rest"),
        pytest.param(b"50%", ("50%",), id="broken escape"),
        pytest.param(b"50%25", ("50%25", "50%"), id="whole escape: raw first"),
        pytest.param(b"a#b", ("a#b",), id="hash"),
        pytest.param(b'a"b', ('a"b',), id="quote"),
        pytest.param(b"<x>", ("<x>",), id="angle brackets"),
        pytest.param(b"caf\xe9", ("café",), id="latin-1 byte"),
        pytest.param("café".encode(), ("café",), id="utf-8"),
        pytest.param(b"caf%C3%A9", ("caf%C3%A9", "café"), id="escaped utf-8"),
        pytest.param(b"caf%E9", ("caf%E9", "café"), id="escaped latin-1"),
        pytest.param(b"a%20b", ("a%20b", "a b"), id="escaped space"),
        pytest.param(b"", ("",), id="empty"),
        pytest.param(b"a=b?c", ("a=b?c",), id="equals and question mark"),
    ],
)
def test_node_form(value: bytes, readings: tuple[str, ...]) -> None:
    query = b"attribute=" + value + b"&listId=42&accountId=12345"
    assert question(query) == Question(readings, "42", "12345")


@pytest.mark.parametrize(
    "query",
    [
        b"listId=l-1&accountId=5&attribute=a%2Bb%40x.com",
        b"accountId=5&attribute=a%2Bb%40x.com&listId=l-1",
        b"attribute=a%2Bb%40x.com&listId=l-1&accountId=5&sdkKey=0123",
        b"sdkKey=0123&attribute=a%2Bb%40x.com&accountId=5&listId=l-1",
    ],
)
def test_encoded_queries_in_any_order(query: bytes) -> None:
    asked = question(query)
    assert asked is not None
    assert (asked.values, asked.list_id, asked.account_id) == (("a%2Bb%40x.com", "a+b@x.com"), "l-1", "5")


def test_a_forms_plus_may_be_a_space_but_a_plus_first() -> None:
    asked = question(b"listId=1&accountId=5&attribute=a+b")
    assert asked is not None and asked.values == ("a+b", "a b")


@pytest.mark.parametrize(
    "query", [b"", b"attribute=a", b"listId=1&accountId=2", b"attribute=a&listId=&x", b"&&==&"]
)
def test_a_question_without_list_or_attribute_is_none(query: bytes) -> None:
    assert question(query) is None


def test_a_missing_account_is_empty() -> None:
    assert question(b"attribute=a&listId=1") == Question(("a",), "1", "")


@given(st.binary())
def test_any_query_is_read_or_none(query: bytes) -> None:
    question(query)
    assert escaped(query).isascii()


@given(st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f")))
def test_whatever_node_can_write_is_among_the_readings(value: str) -> None:
    asked = question(b"attribute=" + value.encode("latin-1") + b"&listId=42&accountId=1")
    assert asked is not None
    try:
        same_bytes = value.encode("latin-1").decode()
    except UnicodeDecodeError:
        same_bytes = value
    assert asked.values[0] in (value, same_bytes)

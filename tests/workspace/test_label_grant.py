"""Grants of labeller links: what was signed is read until its time is over, and nothing else is."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn.clock import to_ms
from cairn.errors import NotSignedIn
from cairn.workspace.label_grant import LIFETIME, LabelGrant, LabelLinkExpired, read_grant, sign_grant
from cairn.workspace.sealed import open_seal

KEY = b"k" * 32
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
GRANT = LabelGrant(1, 2, 3, to_ms(NOW + LIFETIME), "https://cairn.example")


def test_a_grant_comes_back_as_it_was_signed() -> None:
    token = sign_grant(KEY, GRANT)
    assert read_grant(KEY, token, NOW) == GRANT
    assert read_grant(KEY, token, NOW + LIFETIME - timedelta(milliseconds=1)) == GRANT
    assert set(token) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def test_time_ends_it_with_a_word_of_its_own() -> None:
    with pytest.raises(LabelLinkExpired):
        read_grant(KEY, sign_grant(KEY, GRANT), NOW + LIFETIME)


@given(st.integers(0, 400), st.characters(codec="ascii"))
def test_no_other_letter_does(place: int, letter: str) -> None:
    token = sign_grant(KEY, GRANT)
    place %= len(token)
    if token[place] == letter:
        return
    # The last letter of base64 holds bits that mean nothing.
    changed = token[:place] + letter + token[place + 1 :]
    if place == len(token) - 1:
        return
    with pytest.raises(NotSignedIn):
        read_grant(KEY, changed, NOW)


@given(st.text(max_size=300))
def test_whatever_else_comes_is_refused(token: str) -> None:
    with pytest.raises(NotSignedIn):
        read_grant(KEY, token, NOW)


def test_another_key_or_purpose_signs_nothing_here(tmp_path: Path) -> None:
    seal = open_seal(tmp_path)
    token = sign_grant(seal.key_for("labeller"), GRANT)
    assert read_grant(open_seal(tmp_path).key_for("labeller"), token, NOW) == GRANT
    for key in (seal.key_for("something else"), KEY):
        with pytest.raises(NotSignedIn) as refused:
            read_grant(key, token, NOW)
        assert not isinstance(refused.value, LabelLinkExpired)

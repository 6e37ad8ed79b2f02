import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn.flags.bucket import bucket, draw, is_in_traffic
from cairn.ids import visitor_uuid


@pytest.mark.parametrize(
    ("key", "buckets", "expected"),
    [
        ("1_user_id", 100, 24),
        ("1_u1", 100, 2),
        ("1_a@b.com", 100, 66),
        ("2_12345_user_id", 10_000, 9963),
        ("2_12345_u1", 10_000, 7677),
        ("2_12345_日本", 10_000, 4496),
    ],
)
def test_buckets_equal_the_sdks(key: str, buckets: int, expected: int) -> None:
    assert bucket(key, buckets) == expected


@pytest.mark.parametrize(
    ("user_id", "expected"),
    [
        ("u1", "E012891C2EB85923932F7D318E2D678D"),
        ("user_id", "E4824A365FF15611963CB44DC0E4D513"),
        ("user_1", "ECDE835FDD4A55E7A17348B4151BCD1C"),
        ("a@b.com", "E5CC2908EB265B5C828C5391390F9BFF"),
        ("日本", "EBA1FCDF3E6251C58C48F92DB804CAF2"),
    ],
)
def test_visitor_uuids_equal_the_sdks(user_id: str, expected: str) -> None:
    assert visitor_uuid(user_id, 12345) == expected


@given(key=st.text(), buckets=st.sampled_from([100, 10_000]))
def test_a_bucket_is_on_the_line(key: str, buckets: int) -> None:
    assert 1 <= bucket(key, buckets) <= buckets


@given(key=st.text(), percent=st.floats(0, 100), more=st.floats(0, 100))
def test_raising_traffic_moves_nobody_out(key: str, percent: float, more: float) -> None:
    if is_in_traffic(key, min(percent, more)):
        assert is_in_traffic(key, max(percent, more))
    assert not is_in_traffic(key, 0)
    assert is_in_traffic(key, 100)


@pytest.mark.parametrize(
    ("key", "weights", "expected"),
    [
        ("2_12345_u1", (50, 50), 1),  # place 7677
        ("2_12345_u1", (76.75, 23.25), 1),
        ("2_12345_u1", (76.77, 23.23), 0),
        ("2_12345_u1", (0, 100, 0), 1),
        ("2_12345_u1", (76.75,), None),
        ("2_12345_u1", (), None),
    ],
)
def test_a_draw_falls_into_its_range(key: str, weights: tuple[float, ...], expected: int | None) -> None:
    assert draw(key, weights) == expected

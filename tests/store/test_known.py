import numpy as np
import pytest

from cairn.store.known import KnownIds


def ids(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)


@pytest.mark.parametrize(
    "make", [ids, lambda seed, count: np.arange(seed * 10**7, seed * 10**7 + count, dtype=np.uint64)]
)
def test_never_forgets_and_seldom_guesses(make: object) -> None:
    known = KnownIds()
    added = make(1, 3_000_000)  # type: ignore[operator]
    for some in np.array_split(added, 7):
        known.add(some)
    assert known.maybe(added).all()
    assert known.maybe(make(2, 200_000)).mean() < 0.02  # type: ignore[operator]


def test_an_empty_one_knows_nothing() -> None:
    assert not KnownIds().maybe(ids(1, 10_000)).any()
    assert len(KnownIds().maybe(ids(1, 0))) == 0

"""Where a user falls: pure integer arithmetic on a named 32-bit hash, equal to Wingify's to the last bit.

Source: contracts/wingify.md section 8.2.
"""

import math
from collections.abc import Sequence

import mmh3

LINE = 10_000  # buckets of a variation, group or whitelist draw; traffic is decided on 100
_SEED = 1


def bucket(key: str, buckets: int) -> int:
    """Shape: 1..buckets. Guarantee: depends on the key only; raising a traffic never moves out who was in."""
    hashed = mmh3.hash(key.encode(errors="surrogatepass"), _SEED, signed=False)
    return math.floor(buckets * hashed / 2**32 + 1)


def is_in_traffic(key: str, percent: float) -> bool:
    return bucket(key, 100) <= percent


def draw(key: str, weights: Sequence[float]) -> int | None:
    """The index of the weight (percent) whose range holds the key's bucket; None when it falls beyond the last."""
    point, start = bucket(key, LINE), 0
    for index, weight in enumerate(weights):
        # Rounded up per range, as the SDKs do: three times 33.33 leave the last bucket empty.
        width = min(math.ceil(weight * 100), LINE) if weight else 0
        if width and start + 1 <= point <= start + width:
            return index
        start += width
    return None

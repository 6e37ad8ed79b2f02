"""A signature holds for one secret, one body to the byte, and a minute."""

import base64
import hashlib
import hmac

import pytest

from cairn.sync.signature import is_signed, sign

BODY = b'{"id_token":"5b1c"}'
NOW = 1_800_000_000_000


def test_the_header_is_what_the_contract_writes_down() -> None:
    digest = hmac.new(b"secret", b"1800000000000" + BODY, hashlib.sha256).digest()
    assert sign("secret", NOW, BODY) == f"ts:1800000000000,hmac:{base64.b64encode(digest).decode()}"


AGES = [(-1_001, False), (-1_000, True), (0, True), (60_000, True), (60_001, False)]


@pytest.mark.parametrize(("age_ms", "holds"), AGES)
def test_it_holds_for_a_minute(age_ms: int, holds: bool) -> None:
    assert is_signed("secret", sign("secret", NOW, BODY), BODY, NOW + age_ms) is holds


DIGEST = "A" * 43 + "="
NO_HEADERS = [
    "",
    "ts:,hmac:",
    "ts:1,hmac:",
    f"hmac:{DIGEST},ts:1",
    f"ts:-1,hmac:{DIGEST}",
    f"ts:1_0,hmac:{DIGEST}",
    f"ts:\uff11,hmac:{DIGEST}",
    f"ts:{9 * 10**19},hmac:{DIGEST}",
    f"ts:1,hmac:{'A' * 44}",
]


@pytest.mark.parametrize("header", NO_HEADERS)
def test_what_is_no_header_is_no_signature(header: str) -> None:
    assert not is_signed("secret", header, BODY, 1)


def test_another_secret_time_or_byte_is_refused() -> None:
    header = sign("secret", NOW, BODY)
    assert not is_signed("secre", header, BODY, NOW)
    assert not is_signed("secret", header, BODY + b" ", NOW)
    assert not is_signed("secret", header.replace(str(NOW), str(NOW + 1)), BODY, NOW)

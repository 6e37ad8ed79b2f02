"""What captured text may keep. The browser masks before it sends; here it is done again, as clients can be old or odd.

The same rules as browser/capture/privacy.ts; contract/privacy.json holds both to them.
"""

import re

LONGEST_TEXT = 1_024  # UTF-16 units: of target text, titles and attributes, as published
_READ = 1_280  # UTF-16 units: the limit and some more, so that masking sees whole words
_LONGEST_WORD = 200  # characters at the cut end that may be half an address

_EMAIL = re.compile(r"[\w.+-]{1,64}(@|%40)[\w-]{1,63}(\.[\w-]{1,63})+", re.ASCII | re.IGNORECASE)
_CARD_GROUPED = re.compile(r"\b(\d{4}[ -]){3}\d{1,7}\b|\b3\d{3}[ -]\d{6}[ -]\d{5}\b", re.ASCII)
_CARD_PLAIN = re.compile(r"\b[3-6]\d{13,18}\b", re.ASCII)
_KEY = re.compile(r"\b([a-z]+_(live|test)_\w{8,}|AKIA\w{16}|eyJ[\w-]{8,}+(\.[\w-]++)+)", re.ASCII)
_LONG = re.compile(r"[\w-]{32,}(\.[\w-]+)*", re.ASCII)
_UUID = re.compile(r"[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}", re.ASCII | re.IGNORECASE)
_HAS_DIGIT = re.compile(r"\d", re.ASCII)
_HAS_LETTER = re.compile(r"[a-z]", re.ASCII | re.IGNORECASE)
_FOUR_DIGITS = re.compile(r"\d{4}", re.ASCII)
_PARAMETER = re.compile(r"([?&#;]([^=&#;]{1,80})=)[^&#]*")
# Names of parameters that hold credentials, as whole words between underscores: of OAuth, SAML, signed links and
# sessions, and passwords in their usual spellings. The browser gets this expression with its configuration.
SECRET_NAME = (
    "(^|_)(tokens?|secret|pass(wor[dt]|wd|code|phrase|key)?|pwd|pin|t?otp|auth(orization)?|credentials?|sig|signature|"
    "hmac|jwt|assertion|verifier|sam_*l[a-z]*|relay_*state|[cx]srf|sid|[a-z]*sess(ion)?_*id|"
    "(api|[a-z]*access|private)_*key)(_|$)"
    "|^((auth|device|user|verif[a-z]*|confirm[a-z]*|login|reset|security|sms|magic)_)?code$"
)
_SECRET_NAME = re.compile(SECRET_NAME, re.IGNORECASE)
_NO_LETTER = re.compile("%..|[^a-z]", re.IGNORECASE)
_HUMP = re.compile("[A-Z][a-z]")
_WORD = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+@%-"


def cut(text: str, units: int = LONGEST_TEXT) -> str:
    """The first so many UTF-16 units, never half a character."""
    if len(text) * 2 <= units:
        return text
    if text.isascii():
        return text[:units]
    return text.encode("utf-16-le", "replace")[: units * 2].decode("utf-16-le", "ignore")


def mask_text(text: str) -> str:
    """Put {email}, {card} and {token} in place of what looks like one, and cut."""
    masked = mask_known(_read(text))
    return cut(_LONG.sub(_token, masked) if len(masked) >= 32 else masked)


def mask_url(text: str) -> str:
    """As mask_text for the path; in query and hash long values stay (click ids), credentials go by their name."""
    url = _read(text)
    ends = [index for index in (url.find("?"), url.find("#")) if index >= 0]
    if not ends:
        return mask_text(_PARAMETER.sub(_parameter, url))
    path, rest = (_PARAMETER.sub(_parameter, part) for part in (url[: min(ends)], url[min(ends) :]))
    return cut(mask_text(path) + mask_known(rest))


def mask_known(text: str) -> str:
    """What has a shape of its own. The tests before the searches keep plain text, nearly all of it, cheap."""
    if "@" in text or "%40" in text:
        text = _EMAIL.sub("{email}", text)
    if _FOUR_DIGITS.search(text):
        text = _CARD_PLAIN.sub(_card, _CARD_GROUPED.sub("{card}", text))
    if "_" in text or "AKIA" in text or "eyJ" in text:
        text = _KEY.sub("{token}", text)
    return text


def _parameter(match: re.Match[str]) -> str:
    # `accessToken` and `user%5Bpassword%5D` as words between underscores.
    words = _HUMP.sub(r"_\g<0>", _NO_LETTER.sub("_", match[2]))
    return f"{match[1]}{{token}}" if _SECRET_NAME.search(words) else match[0]


def _read(text: str) -> str:
    if len(text) * 2 <= _READ:
        return text
    read = cut(text, _READ)
    if read == text:
        return text
    word = len(read) - len(read.rstrip(_WORD))
    return read[: len(read) - min(word, _LONGEST_WORD)]


def _card(match: re.Match[str]) -> str:
    return "{card}" if _passes_luhn(match[0]) else match[0]


def _passes_luhn(digits: str) -> bool:
    total = 0
    for index, digit in enumerate(map(int, reversed(digits))):
        value = digit * 2 if index % 2 else digit
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _token(match: re.Match[str]) -> str:
    word = match[0]
    if _UUID.fullmatch(word) or not _HAS_DIGIT.search(word) or not _HAS_LETTER.search(word):
        return word
    return "{token}"

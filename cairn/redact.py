"""Keys and secrets in text that people read: what is shown of refused requests, logs, the command line's errors.

Four characters tell which key it was, and open nothing. Keys are found by the names vendors' clients give them, plain,
in JSON, quoted within JSON or encoded for an address; by how Cairn's own begin; and within base64 that may not even
decode as a whole. Every pattern is linear: what arrives here may come from anybody.
"""

import base64
import re

SHOWN_OF_KEY = 4  # characters
_SHORTEST = 6  # characters: no longer text is a name of a key with more of the key than is shown

# Encoded for an address, perhaps several times: % is %25 then.
_QUOTE = r"""(?:\\{0,8}["']|%(?:25){0,3}2[27])"""
_BLANK = r"(?:\s|%(?:25){0,3}20|\+)"
_SIGN = r"(?:[:=]|%(?:25){0,3}3[AaDd])"
_PLAIN = r"""(?:[^\s"'\\&,;{}()<>%…]|%(?!(?:25){0,3}(?:2[267Cc]|3[Bb]|7[BbDd])))"""
# Names end with one of these. What must stand before `key`, an everyday word, is looked at once one is found.
_ENDS = ("key", "token", "secret", "password", "passwd", "authorization", "cookie")
_NAMED = re.compile(
    rf"({'|'.join(_ENDS)})({_QUOTE}?{_BLANK}{{0,20}}{_SIGN}{_BLANK}{{0,20}}{_QUOTE}?(?:(?:Bearer|Basic){_BLANK}{{1,20}})?)"
    rf"((?!(?:Bearer|Basic)\b){_PLAIN}{{{SHOWN_OF_KEY}}}){_PLAIN}+",
    re.IGNORECASE,
)
_BEFORE_KEY = re.compile(r"(?:write|api|sdk|server|env|secret|private|access)[-_]?\Z", re.IGNORECASE)
_LONGEST_BEFORE = 8
# Parameters of flag SDKs and ours; as names they are too short to be looked for anywhere else.
_PARAMETER = re.compile(rf"((?:^|[?&\s])(?:env|i|key|secret|auth)=)([^&\s\"'…]{{{SHOWN_OF_KEY}}})[^&\s\"'…]+")
_SCHEME = re.compile(
    rf"((?:bearer|basic)\s{{1,20}})([^\s\"',;…]{{{SHOWN_OF_KEY}}})[^\s\"',;…]+", re.IGNORECASE
)
# A token or write key of ours, whatever stands before it.
_OURS = re.compile(rf"(wk_|cairn_)([A-Za-z0-9_-]{{{SHOWN_OF_KEY}}})[A-Za-z0-9_-]{{4,}}")
_PASSWORD_IN_ADDRESS = re.compile(r"(://[^\s/:@]{0,200}:)[^\s/@…]{1,500}(?=@)")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}")
_WORD = re.compile(r"[^\s\"'&]{16,}")
_HINTS = (b"key", b"token", b"secret", b"passw", b"wk_", b"cairn_")


def redacted(text: str) -> str:
    """The text with every key shortened. Guarantee: idempotent; the work grows with the length of the text."""
    if len(text) <= _SHORTEST:
        return text
    text = _WORD.sub(_without_base64, text)
    lower = text.lower()  # a pattern without regard to case costs ten times what a search for its words does
    if any(end in lower for end in _ENDS):
        text = _NAMED.sub(_shortened, text)
    if "=" in text:
        text = _PARAMETER.sub(r"\1\2…", text)
    if "bearer" in lower or "basic" in lower:
        text = _SCHEME.sub(r"\1\2…", text)
    if "://" in text:
        text = _PASSWORD_IN_ADDRESS.sub(r"\1…", text)
    return _OURS.sub(r"\1\2…", text) if "_" in text else text


def shown_key(key: str) -> str:
    """Enough of a key to tell which one was sent. An app id, digits alone, is public and shown whole."""
    if key.isascii() and key.isdigit():
        return key[:40]
    return key if len(key) <= SHOWN_OF_KEY else f"{key[:SHOWN_OF_KEY]}…"


def _shortened(match: re.Match[str]) -> str:
    before = match.string[max(0, match.start() - _LONGEST_BEFORE) : match.start()]
    if match[1].lower() == "key" and not _BEFORE_KEY.search(before):
        return match[0]
    return f"{match[1]}{match[2]}{match[3]}…"


def _without_base64(word: re.Match[str]) -> str:
    """A word up to a run of base64 that holds a key: what follows may be the key's other half."""
    text = word[0]
    for run in _BASE64.finditer(text):
        if _holds_key(run[0]):
            left = len(text) - run.start()
            return f"{text[: run.start() + SHOWN_OF_KEY]}… ({left} characters of base64 with a key)"
    return text


def _holds_key(run: str) -> bool:
    """The name of one is enough: its value may be damaged. What stood before may have moved the run by up to three."""
    plain = run.replace("-", "+").replace("_", "/")
    for start in range(4):
        whole = plain[start : start + (len(plain) - start) // 4 * 4]
        decoded = base64.b64decode(whole).lower()
        if any(hint in decoded for hint in _HINTS):
            return True
    return False

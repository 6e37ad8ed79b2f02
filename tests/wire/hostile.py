"""Inputs made to cost more than their length, each at any length, and the measure they are held to.

Work is compared, not timed: eight times the length may cost 24 times as much, where quadratic work costs 64 times.
Counting calls or lines would see nothing of a regular expression or a copy made in C, and a machine's instruction
counter is not open to every process. So the processor's time of the one thread is compared, which other processes do
not add to. What exceeds the limit once is measured again, and the least of each counts.
"""

import gzip
from base64 import b64encode
from collections.abc import Callable
from time import thread_time_ns

import msgspec

TIMES = 8
MOST_TIMES = 24
SIZE = 3_000  # bytes
_REPEATS = 5
_FLOOR_NS = 50_000  # what cannot be told from nothing

Hostile = Callable[[int], bytes]
BATCH_KEYS = (b"events", b"users", b"batch", b"accounts", b"messages", b"ev")
# What every vendor's event needs, so that as much as possible of it is read.
WHO = (
    b'"app_id":"11","event":"e","type":"track","identity":"dana","userId":"dana","user_id":"7","account_id":"acme",'
    b'"writeKey":"wk_node"'
)


def fill(before: bytes, part: bytes, after: bytes = b"") -> Hostile:
    """So many of `part` as there is room for; a `#` in it is a number that differs each time."""

    def made(size: int) -> bytes:
        count = max(1, size // (len(part) + 4 * part.count(b"#")))
        if b"#" not in part:
            return before + part * count + after
        return before + b"".join(part.replace(b"#", b"%d" % number) for number in range(count)) + after

    return made


def halves(first: Hostile, second: Hostile) -> Hostile:
    """What may multiply: much of one thing beside much of another."""
    return lambda size: first(size // 2) + second(size // 2)


def in_every_array(inner: Hostile, shared: Hostile = lambda _: b"") -> Hostile:
    """A batch under each vendor's name for it, beside what its events share."""

    def made(size: int) -> bytes:
        items = inner(size)
        arrays = b",".join(b'"%s":[%s]' % (key, items) for key in BATCH_KEYS)
        return b"{" + WHO + b"," + shared(size) + arrays + b"}"

    return made


def event(properties: Hostile) -> Hostile:
    """One event whose properties are hostile, under each vendor's name for them."""

    def made(size: int) -> bytes:
        inner = properties(size // 3)
        return b"{%b,%b}" % (
            WHO,
            b",".join(
                b'"%s":{%s}' % (name, inner) for name in (b"properties", b"traits", b"custom_properties")
            ),
        )

    return made


def _long_name_with_members(size: int) -> bytes:
    members = b",".join(b'"%d":1' % number for number in range(size // 16))
    return b'"' + b"k" * (size // 2) + b'":{' + members + b"}"


def _chain(size: int) -> bytes:
    """Objects in objects as deep as is taken, with long names, and members at each level."""
    text = b'"x":1'
    for level in range(25):
        members = b"".join(b',"%d":1' % number for number in range(size // 400))
        text = b'"%s":{%s%s}' % (b"n" * (size // 100), text, members if level % 2 else b"")
    return text


ITEM = b"{" + WHO + b"},"
JSON: dict[str, Hostile] = {
    "quotes escaped in a string that is not closed": fill(b'{"events":["', b'\\"'),
    "quotes escaped in every array": in_every_array(fill(b'"', b'\\"')),
    "backslashes in a string that is not closed": fill(b'{"batch":["', b"\\"),
    "strings side by side": fill(b'{"events":[', b'"'),
    "arrays never closed": fill(b'{"events":[', b"["),
    "objects never closed": fill(b'{"events":[', b'{"a":'),
    "commas": fill(b'{"events":[', b","),
    "colons": fill(b'{"events"', b":"),
    "blanks": fill(b'{"events":', b" \n"),
    "the same name again": fill(b"{" + WHO, b',"events":[1]', b"}"),
    "items that are wrong": in_every_array(fill(b"", b"\xff,", b"1")),
    "items that are deep": in_every_array(fill(b"", b"[" * 40 + b"]" * 40 + b",", b"1")),
    "empty items": in_every_array(fill(b"", b"{},", b"{}")),
    "events, small": in_every_array(fill(b"", ITEM, b"{}")),
    "events under a broken one": in_every_array(fill(b'"\\ud800",', ITEM, b"{}")),
    "digits": fill(b"{" + WHO + b',"properties":{"n":', b"9", b"}}"),
    "digits after the point": fill(b"{" + WHO + b',"properties":{"n":0.', b"9", b"}}"),
    "digits for a time": fill(b"{" + WHO + b',"timestamp":"', b"9", b'"}'),
    "digits for ids": fill(b'{"app_id":"11","event":"e","user_id":"', b"9", b'"}'),
    "numbers written short": event(fill(b'"a":[', b"1e308,", b"1]")),
    "properties, many": event(fill(b'"a":1', b',"p#":1')),
    "a property, long": event(fill(b'"a":"', b"x", b'"')),
    "a name, long, of an object with many members": event(_long_name_with_members),
    "names that grow with the depth": event(_chain),
    "NULs": event(fill(b'"a":"', b"\\u0000", b'"')),
    "half characters": event(fill(b'"a":"', b"\\ud800", b'"')),
    "what is said for all events, long": in_every_array(
        fill(b"", ITEM, b"{}"),
        lambda size: (
            b'"library":"%s",' % (b"x" * size)
            + b'"context":{"library":{"name":"%s"},"userAgent":"%s","ip":"%s","traits":{"email":"a@%s"}},'
            % ((b"x" * size,) * 4)
        ),
    ),
    "what is said for all events, much": in_every_array(
        fill(b"", ITEM, b"{}"),
        fill(b'"integrations":{"A":true', b',"i#":true', b'},"context":{"traits":{}},'),
    ),
}
PROTOBUF: dict[str, Hostile] = {
    "empty messages": fill(b"", b"\x0a\x00"),
    "messages of one byte": fill(b"", b"\x0a\x01\xff"),
    "groups never closed": fill(b"", b"\x0b"),
    "numbers never closed": fill(b"\x08", b"\xff"),
    "fields nobody knows": fill(b"", b"\xfa\x3e\x01x"),
    "packed zeros": lambda size: gzip.compress(bytes(size * 10)),
}
QUERIES: dict[str, Hostile] = {
    "percent signs": fill(b"a=5&u=7&h=/&k=", b"%"),
    "escapes of half characters": fill(b"a=5&u=7&k=", b"%ed%a0%80"),
    "ampersands": fill(b"a=5&u=7&h=/", b"&"),
    "names": fill(b"a=5&u=7&h=/", b"&p#=1"),
    "dots in names": fill(b"a=5&u=7&", b"a.", b"=1"),
    "names with dots": fill(b"a=5", b"&a.b.c.d.e.f.#=1"),
    "events with properties shared": halves(fill(b"a=5&u=7", b"&t#=e"), fill(b"", b"&k=k#&k=1")),
    "a library for all events": halves(fill(b"a=5&u=7", b"&t#=e"), fill(b"&b=", b"x")),
    "elements": fill(b"a=5&u=7&t0=click&n0=a&y0=", b"@a;.b;|"),
    "a path of dots": fill(b"a=5&u=7&t0=click&n0=a&y0=@a;", b".a#;"),
    "base64": lambda size: b"data=" + b64encode(b'{"a":["' + b'\\"' * (size // 3)),
    "listId again and again": fill(b"attribute=a", b"&listId=1&accountId=2", b"&x=1"),
    "userId within userId": fill(b"userId=[", b'userId="&', b"]"),
    "semicolons": fill(b"a=5&u=7&h=/?", b";token"),
}
HEADERS: dict[str, Hostile] = {
    "escaped quotes in quotes": fill(b'cairn="', b'\\"', b'"'),
    "escaped bytes in quotes": fill(b'cairn="', b"\\101", b'"'),
    "cookies": fill(b"", b"c#=1;"),
    "one cookie again": fill(b"", b"cairn=1;"),
    "commas": fill(b"", b","),
    "addresses": fill(b"", b"10.0.0.#,"),
    "ranges": fill(b"bytes=", b"#-#,"),
    "blanks": fill(b"", b" \t"),
}
TEXTS: dict[str, Hostile] = {
    "letters": fill(b"", b"a"),
    "blanks": fill(b"", b" "),
    "digits": fill(b"", b"1"),
    "cards": fill(b"", b"4111 1111 1111 111 "),
    "at signs": fill(b"", b"a@"),
    "domains": fill(b"a@", b"b."),
    "hyphens": fill(b"", b"a-"),
    "heads of tokens": fill(b"", b"eyJ-"),
    "tokens that do not end": fill(b"", b"-eyJaaaaaaaa"),
    "keys": fill(b"", b"sk_live_"),
    "secrets": fill(b"/?", b";token"),
    "escapes": fill(b"/?", b"%40"),
    "addresses": fill(b"http://", b"a@b:c/"),
    "brackets": fill(b"http://", b"["),
    "accents in the wrong order": fill(b"http://", "a\u0301\u0323".encode()),
    "accents, first one kind and then the other": halves(
        fill(b"http://a", "\u0301".encode()), fill(b"", "\u0323".encode())
    ),
    "stars": fill(b"", b"*a"),
    "parentheses": fill(b"", b"("),
    "pseudo-classes": fill(b"", b":not(", b"a"),
    "classes": fill(b"a", b".b"),
    "semicolons": fill(b"", b"a=b;"),
    "escaped quotes": fill(b'a="', b'\\"'),
    "octal escapes": fill(b'a="', b"\\\\012", b'"'),
    "browsers": fill(b"Mozilla/5.0 (", b"Android 1; Windows NT; ", b") Mobile"),
    "browsers' versions": fill(b"Chrome/", b"1.", b" Safari"),
}


def check_growth(work: Callable[[bytes], object], hostile: Hostile) -> None:
    """Neither the work nor what comes of it may grow faster than the input."""
    small, large = hostile(SIZE), hostile(SIZE * TIMES)
    check_work(lambda: work(small), lambda: work(large))
    less, more = result_size(work(small)), result_size(work(large))
    assert more <= MOST_TIMES * less, f"{less} bytes became {more}"


def check_work(
    small: Callable[[], object], large: Callable[[], object], *, clock_ns: Callable[[], int] = thread_time_ns
) -> None:
    least_small = least_large = 10**18
    for _ in range(_REPEATS):
        least_small = min(least_small, _cost(small, clock_ns))
        least_large = min(least_large, _cost(large, clock_ns))
        if least_large <= MOST_TIMES * max(least_small, _FLOOR_NS):
            return
    raise AssertionError(f"{TIMES} times the input is {least_large / least_small:.0f} times the work")


def result_size(result: object) -> int:
    return len(msgspec.msgpack.encode(result, enc_hook=str))


def _cost(work: Callable[[], object], clock_ns: Callable[[], int]) -> int:
    began = clock_ns()
    work()
    return clock_ns() - began

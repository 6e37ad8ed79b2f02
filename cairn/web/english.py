"""Events as sentences: what happened, in words a colleague would use. Pure; escaping is the template's business."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from cairn.event import Kind

SHOWN = 2  # properties told beside an event's name; the rest is a click away
LONGEST = 80  # characters of one value
MONEY_KEYS = ("revenue", "total", "value", "amount", "price")


class Word(Struct, frozen=True):
    text: str
    strong: bool = False


Words = list[Word]
Properties = Mapping[str, str]


def sentence(kind: str, name: str, properties: Properties) -> Words:
    """“Clicked **Add to cart** on /product/42”, “**Order Completed** · 129.5 EUR”."""
    say = _SENTENCES.get(kind, _custom)
    return say(name, properties)


def plain(words: Words) -> str:
    return "".join(word.text for word in words)


def short(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _custom(name: str, properties: Properties) -> Words:
    words = [Word(short(name) or "Unnamed event", strong=True)]
    told = _told(properties)
    return [*words, Word(f" · {told}")] if told else words


def _told(properties: Properties) -> str:
    money = next((key for key in MONEY_KEYS if key in properties), "")
    if money:
        currency = properties.get("currency", "")
        return short(f"{properties[money]} {currency}".strip())
    shown = [(key, value) for key, value in properties.items() if value and not key.startswith("$")]
    return ", ".join(f"{short(key, 30)} {short(value, 40)}" for key, value in shown[:SHOWN])


def _pageview(name: str, properties: Properties) -> Words:
    place = properties.get("path") or properties.get("title") or name
    return [Word("Viewed "), Word(short(place) or "a page", strong=True)]


def _on_element(verb: str) -> Callable[[str, Properties], Words]:
    def say(name: str, properties: Properties) -> Words:
        target = properties.get("text") or properties.get("target_text") or name or "something"
        words = [Word(f"{verb} "), Word(short(target), strong=True)]
        path = properties.get("path", "")
        return [*words, Word(f" on {short(path)}")] if path else words

    return say


def _session(name: str, properties: Properties) -> Words:
    return [Word("Started a session")]


def _identify(name: str, properties: Properties) -> Words:
    identity = properties.get("identity", "")
    if identity:
        return [Word("Was identified as "), Word(short(identity), strong=True)]
    shown = [key for key in properties if key != "identity"][:SHOWN]
    if not shown:
        return [Word("User properties were set")]
    words = [Word("Set ")]
    for place, key in enumerate(shown):
        words += [Word(" and ")] if place else []
        words += [Word(short(key, 40), strong=True), Word(f" to {short(properties[key], 40)}")]
    return words


def _exposure(name: str, properties: Properties) -> Words:
    flag = properties.get("flag") or name or "a flag"
    words = [Word("Saw flag "), Word(short(flag), strong=True)]
    variation = properties.get("variation", "")
    return [*words, Word(f", variation {short(variation)}")] if variation else words


_SENTENCES: dict[str, Callable[[str, Properties], Words]] = {
    Kind.PAGEVIEW: _pageview,
    Kind.CLICK: _on_element("Clicked"),
    Kind.CHANGE: _on_element("Changed"),
    Kind.SUBMIT: _on_element("Submitted"),
    Kind.TOUCH: _on_element("Touched"),
    Kind.SESSION: _session,
    Kind.IDENTIFY: _identify,
    Kind.EXPOSURE: _exposure,
}

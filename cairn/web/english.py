"""Events as sentences: what happened, in words a colleague would use. Pure; escaping is the template's business."""

from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct

from cairn.definitions.path import read_node
from cairn.event import FIRST_SEEN, Element, Kind

SHOWN = 2  # properties told beside an event's name; the rest is a click away
LONGEST = 80  # characters of one value
MONEY_KEYS = ("revenue", "total", "value", "amount", "price")
NOUNS = {
    "a": "link",
    "button": "button",
    "form": "form",
    "img": "picture",
    "svg": "picture",
    "select": "choice",
    "option": "choice",
    "textarea": "field",
    "label": "label",
    "summary": "summary",
    "video": "video",
    **dict.fromkeys(
        ("circle", "ellipse", "g", "line", "path", "polygon", "polyline", "rect", "use"), "picture"
    ),
}
# A picture in one of these has no name of its own; people hit the picture and mean the link.
AROUND = ("a", "button", "label", "summary")
INPUTS = {"button": "button", "submit": "button", "reset": "button", "checkbox": "box", "radio": "choice"}
FLAG_SDKS = ("vwo-", "wingify-")
# The others are told by their own name.
SENDERS = {
    "": "the API",
    "server": "the API",
    "web": "the browser",
    "demo": "the demo",
    **dict.fromkeys(("ios", "android", "react_native", "react-native", "flutter", "mobile"), "the app"),
}
# What an element without text is called by, the first that it has; then its id, its classes, its tag.
NAMING_ATTRIBUTES = ("name", "title", "alt", "placeholder", "data-testid", "for")


class DescribableEvent(Protocol):
    """What a sentence needs of an event: of the Live page, a timeline, or a definition's examples."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def properties(self) -> Mapping[str, str]: ...
    @property
    def facts(self) -> Mapping[str, str]: ...
    @property
    def element(self) -> Element | None: ...


class Word(Struct, frozen=True):
    text: str
    strong: bool = False


Words = list[Word]


def sentence(event: DescribableEvent, library: str | None = None) -> Words:
    """“Clicked button **Add to cart** on /product/42”, “**Order Completed** · 129.5 EUR”.

    `library`: who sent it, where that matters: of what a user is made to be it says by whom.
    """
    words = _SENTENCES.get(event.kind, _custom)(event)
    return (
        words if library is None or event.kind != Kind.IDENTIFY else [*words, Word(f", by {sender(library)}")]
    )


def sender(library: str) -> str:
    """What a library is, for people."""
    name = library.lower()
    if name.startswith(FLAG_SDKS):
        return f"a flag SDK ({short(library, 40)})"
    return SENDERS.get(name) or short(library, 40)


def plain(words: Words) -> str:
    return "".join(word.text for word in words)


def short(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def element_words(element: Element) -> Words:
    """“button **Add to cart**”: what it is, and how a person who sees it would call it."""
    tag = element.tag.lower()
    noun = NOUNS.get(tag) or (
        INPUTS.get(element.attributes.get("type", ""), "field") if tag == "input" else ""
    )
    name = element.text or element.label or _attribute(element)
    if name:
        return [*([Word(f"{noun} ")] if noun else []), Word(short(name), strong=True)]
    what = [Word(f"{noun or tag} ")] if noun or tag else []
    around = _around(element) if tag not in AROUND else []
    return [*what, *(around or [Word(short(_address(element)), strong=True)])]


def _around(element: Element) -> Words:
    """“in link **/product/tent**”, when it lies in one."""
    for text in reversed([text for text in element.hierarchy.split("|") if text][:-1]):
        node = read_node(text)
        if node.tag in AROUND:
            names = ("aria-label", *NAMING_ATTRIBUTES, "href")
            own = Element(tag=node.tag, dom_id=node.id, classes=" ".join(node.classes))
            name = next((node.attributes[key] for key in names if node.attributes.get(key)), _address(own))
            return [Word(f"in {NOUNS[node.tag]} "), Word(short(name), strong=True)]
    return []


def _attribute(element: Element) -> str:
    return next((element.attributes[key] for key in NAMING_ATTRIBUTES if element.attributes.get(key)), "")


def _address(element: Element) -> str:
    """How a style sheet would find it."""
    if element.dom_id:
        return f"#{element.dom_id}"
    return "." + ".".join(element.classes.split()[:2]) if element.classes else element.tag or "something"


def _custom(event: DescribableEvent) -> Words:
    words = [Word(short(event.name) or "Unnamed event", strong=True)]
    if event.element is not None:
        words += [Word(" on "), *element_words(event.element)]
    shown = _shown(event.properties)
    return [*words, Word(f" · {shown}")] if shown else words


def _shown(properties: Mapping[str, str]) -> str:
    money = next((key for key in MONEY_KEYS if key in properties), "")
    if money:
        currency = properties.get("currency", "")
        return short(f"{properties[money]} {currency}".strip())
    shown = [(key, value) for key, value in properties.items() if value and not key.startswith("$")]
    return ", ".join(f"{short(key, 30)} {short(value, 40)}" for key, value in shown[:SHOWN])


def _fact(event: DescribableEvent, key: str) -> str:
    """A fact, or a property of that name, as senders without facts have it."""
    return event.facts.get(key) or event.properties.get(key, "")


def _pageview(event: DescribableEvent) -> Words:
    path, title = _fact(event, "path"), _fact(event, "title")
    words = [Word("Viewed "), Word(short(path or title or event.name) or "a page", strong=True)]
    return [*words, Word(f" · {short(title)}")] if path and title else words


def _view(event: DescribableEvent) -> Words:
    name = _fact(event, "view") or _fact(event, "title") or event.name
    did = "Left" if event.properties.get("transition") == "disappeared" else "Saw"
    return [Word(f"{did} screen "), Word(short(name) or "without a name", strong=True)]


def _on_element(verb: str) -> Callable[[DescribableEvent], Words]:
    def say(event: DescribableEvent) -> Words:
        words = [Word(f"{verb} "), *_target(event)]
        location = _fact(event, "path") or _fact(event, "view")
        return [*words, Word(f" on {short(location)}")] if location else words

    return say


def _target(event: DescribableEvent) -> Words:
    if event.element is not None:
        return element_words(event.element)
    text = event.properties.get("text") or event.properties.get("target_text") or event.name
    return [Word(short(text) or "something", strong=True)]


def _session(event: DescribableEvent) -> Words:
    where = _fact(event, "landing_path") or _fact(event, "path")
    words = [Word("Started a session")]
    if where:
        words += [Word(" on "), Word(short(where), strong=True)]
    source = event.facts.get("utm_source") or event.facts.get("referrer") or event.facts.get("channel", "")
    return [*words, Word(f", from {short(source)}")] if source else words


def _version(event: DescribableEvent) -> Words:
    version, before = (
        event.properties.get("current_version", ""),
        event.properties.get("previous_version", ""),
    )
    words = [
        Word("Updated to version " if before else "Installed version "),
        Word(short(version) or "unknown", strong=True),
    ]
    return [*words, Word(f" from {short(before)}")] if before else words


def _notification(event: DescribableEvent) -> Words:
    title = event.properties.get("title_text", "")
    return [Word("Opened notification "), Word(short(title) or "without a title", strong=True)]


def _identify(event: DescribableEvent) -> Words:
    if event.name == FIRST_SEEN:
        return [Word("Was seen for the first time")]
    identity = event.properties.get("identity", "")
    if identity:
        return [Word("Was identified as "), Word(short(identity), strong=True)]
    keys = [key for key in event.properties if key not in ("identity", "segment_library")]
    shown = keys[:SHOWN]
    if not shown:
        # What is said without properties is an identification, but for an empty change of them.
        is_change = event.name == "Set properties"
        return [Word("User properties were set" if is_change else "Was identified")]
    words = [Word("Set ")]
    for index, key in enumerate(shown):
        words += [Word(" and ")] if index else []
        words += [
            Word(short(key, 40), strong=True),
            Word(f" to {short(event.properties[key], 40) or 'nothing'}"),
        ]
    more = len(keys) - len(shown)
    return [*words, Word(f" and {more} more")] if more else words


def _exposure(event: DescribableEvent) -> Words:
    flag = event.properties.get("flag") or event.name or "a flag"
    is_known = "campaign" not in event.properties or "flag_key" in event.properties
    words = [Word("Saw flag " if is_known else "Saw "), Word(short(flag), strong=True)]
    variation = event.properties.get("variation_name") or event.properties.get("variation", "")
    return [*words, Word(f", variation {short(variation)}")] if variation else words


_SENTENCES: dict[str, Callable[[DescribableEvent], Words]] = {
    Kind.PAGEVIEW: _pageview,
    Kind.VIEW: _view,
    Kind.CLICK: _on_element("Clicked"),
    Kind.CHANGE: _on_element("Changed"),
    Kind.SUBMIT: _on_element("Submitted"),
    Kind.TOUCH: _on_element("Touched"),
    Kind.SESSION: _session,
    Kind.VERSION: _version,
    Kind.NOTIFICATION: _notification,
    Kind.IDENTIFY: _identify,
    Kind.EXPOSURE: _exposure,
}

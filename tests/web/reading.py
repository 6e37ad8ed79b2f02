"""A page as its reader finds it: by headings, labels, links and text, whatever the tags between them."""

from html.parser import HTMLParser
from itertools import pairwise

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
UNSEEN = {"script", "style", "template", "head"}
FIELDS = {"input", "select", "textarea"}


class Element:
    def __init__(self, tag: str, attributes: dict[str, str], parent: "Element | None" = None) -> None:
        self.tag, self.attributes, self.parent = tag, attributes, parent
        self.content: list[Element | str] = []

    @property
    def text(self) -> str:
        """What is read, with one space wherever there is any."""
        return " ".join("".join(self.texts()).split())

    def all(self, *tags: str) -> "list[Element]":
        """Every element within, in reading order; of these tags, if any are named."""
        found: list[Element] = []
        for part in self.content:
            if isinstance(part, Element):
                if not tags or part.tag in tags:
                    found.append(part)
                found += part.all(*tags)
        return found

    def texts(self) -> list[str]:
        if self.tag in UNSEEN or self.attributes.get("hidden") is not None:
            return []
        parts = [part if isinstance(part, str) else "".join(part.texts()) for part in self.content]
        return (
            parts if self.tag in {"b", "a", "span", "small", "code", "em", "strong"} else [" ", *parts, " "]
        )


class Reading(HTMLParser):
    """One page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.root = self._open = Element("", {})
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attributes}, self._open)
        self._open.content.append(element)
        if tag not in VOID:
            self._open = element

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """As of a shape in a picture."""
        self._open.content.append(Element(tag, {name: value or "" for name, value in attributes}, self._open))

    def handle_endtag(self, tag: str) -> None:
        at: Element | None = self._open
        while at is not None and at.tag != tag:
            at = at.parent
        if at is not None and at.parent is not None:
            self._open = at.parent

    def handle_data(self, data: str) -> None:
        self._open.content.append(data)

    @property
    def text(self) -> str:
        return self.root.text

    @property
    def links(self) -> dict[str, str]:
        """Addresses by what is read on them."""
        return {link.text: link.attributes.get("href", "") for link in self.root.all("a")}

    @property
    def terms(self) -> dict[str, str]:
        """Of every list of names and values."""
        parts = self.root.all("dt", "dd")
        return {name.text: value.text for name, value in pairwise(parts) if name.tag == "dt"}

    @property
    def copied(self) -> list[str]:
        """What the buttons put on the clipboard."""
        return [
            button.attributes["data-copy"]
            for button in self.root.all("button")
            if "data-copy" in button.attributes
        ]

    def field(self, label: str) -> Element:
        """The field of this label. Raises LookupError where there is none, as a reader would not find it."""
        labels = {one.attributes.get("for", ""): one.text for one in self.root.all("label")}
        for field in self.root.all(*FIELDS):
            named = field.attributes.get("aria-label") or labels.get(field.attributes.get("id", "-"), "")
            if named == label:
                return field
        raise LookupError(f"no field is labelled {label!r}")

    def mistake(self, label: str) -> str:
        """What is said to be wrong with the field of this label; empty: nothing."""
        field = self.field(label)
        if field.attributes.get("aria-invalid") != "true":
            return ""
        described = field.attributes.get("aria-describedby", "").split()
        alerts = (one for one in self.root.all() if one.attributes.get("role") == "alert")
        return " ".join(alert.text for alert in alerts if alert.attributes.get("id") in described)

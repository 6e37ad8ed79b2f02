"""A captured element's path and shape, made regular: one element has one text, whichever client sent it.

Source: contracts/heap.md 5.4 (grammar, limits); contract/hierarchy.json holds the browser script to the same.
"""

import re
from collections.abc import Iterable, Mapping

import msgspec

from cairn.event import Element
from cairn.wire.masking import cut, mask_known, mask_text, mask_url

LONGEST_HIERARCHY = 1_024  # characters, filled from the target outwards
_MOST_ATTRIBUTES = 50  # kept of one element; the script sends a dozen
# Their text is what the person typed or chose, so no client may store it. Tags of the web, and classes of apps.
_HOLDS_VALUE = re.compile(
    r"input|textarea|select|option|.*(edittext|textfield|textinput|securefield|editabletext|textformfield|uitextview|"
    r"autocompletetextview|searchbar|searchview).*",
    re.IGNORECASE,
)
_VALUE_PART = "[value="  # of a hierarchy
_FORBIDDEN = str.maketrans("", "", ";|")  # they end a part and a node


def normal_hierarchy(text: str) -> str:
    """The grammar's one spelling: tag, id, sorted classes, sorted attributes; what is none of these is left out."""
    return _filled(_sorted_parts(node.split(";")) for node in reversed(text.split("|")) if node.strip())


def node_text(
    tag: str, dom_id: str = "", classes: str = "", attributes: Mapping[str, str] | None = None
) -> str:
    """One node of a path, for clients that send nodes but no hierarchy."""
    parts = ["@" + (tag.translate(_FORBIDDEN) or "?")]
    if dom_id:
        parts.append("#" + dom_id.translate(_FORBIDDEN))
    parts += ["." + name.translate(_FORBIDDEN) for name in classes.split()]
    parts += [f"[{key}={value}]".translate(_FORBIDDEN) for key, value in (attributes or {}).items()]
    return ";".join(parts) + ";|"


def element_of(
    hierarchy: str,
    tag: str,
    dom_id: str = "",
    classes: str = "",
    text: str = "",
    href: str = "",
    label: str = "",
    attributes: Mapping[str, str] | None = None,
) -> Element:
    """An element as it may be stored: regular, masked, cut."""
    tag = cut(tag.strip()).lower() if tag.isascii() and tag.islower() else cut(tag.strip())
    kept: dict[str, str] = {}
    for key, value in (attributes or {}).items():
        if value and key and key != "value" and len(key) <= 255 and len(kept) < _MOST_ATTRIBUTES:
            kept[key] = mask_url(value) if key in ("href", "src", "action") else mask_text(value)
    return Element(
        hierarchy=mask_known(normal_hierarchy(hierarchy)),
        tag=tag,
        dom_id=mask_text(dom_id) if dom_id else "",
        classes=cut(" ".join(sorted(set(classes.split())))) if classes else "",
        text=mask_text(text.strip()) if text and not _HOLDS_VALUE.fullmatch(tag) else "",
        href=mask_url(href) if href else "",
        label=mask_text(label) if label else "",
        attributes=kept,
    )


def without_text(element: Element | None) -> Element | None:
    """Of something that was changed: its text may be what was typed, whatever it is made of."""
    return msgspec.structs.replace(element, text="") if element is not None and element.text else element


def _sorted_parts(parts: Iterable[str]) -> list[str]:
    tag, dom_id = "", ""
    classes: list[str] = []
    attributes: list[str] = []
    for part in parts:
        part = part.strip()
        mark = part[:1]
        if mark == "." and len(part) > 1:
            classes.append(part)
        elif mark == "[" and "=" in part and not part.startswith(_VALUE_PART):
            attributes.append(part if part[-1] == "]" else part + "]")
        elif mark == "#" and len(part) > 1 and not dom_id:
            dom_id = part
        elif mark == "@" and len(part) > 1 and not tag:
            tag = part
    classes.sort()
    attributes.sort()
    return [name for name in (tag, dom_id) if name] + classes + attributes


def _filled(nodes: Iterable[list[str]]) -> str:
    """From nodes with the target first: the target keeps the parts that fit, an ancestor comes whole or not at all."""
    path: list[str] = []
    size = 0
    for parts in nodes:
        if not parts:
            continue
        node = ";".join(parts) + ";|"
        if not path and len(node) > LONGEST_HIERARCHY:
            node = ""
            for part in parts:
                if len(node) + len(part) + 2 <= LONGEST_HIERARCHY:
                    node += part + ";"
            node += "|"
        if size + len(node) > LONGEST_HIERARCHY:
            break
        path.append(node)
        size += len(node)
    return "".join(reversed(path))

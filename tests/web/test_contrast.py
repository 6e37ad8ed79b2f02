"""The colours on each other, as WCAG 2.2 AA asks: 4.5 to 1 for text, 3 to 1 for the parts of controls and charts."""

import re
from itertools import product

import pytest

from cairn.web.render import STATIC

TOKEN = re.compile(r"--([\w-]+):\s*light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)")
TOKENS = {match[1]: (match[2], match[3]) for match in TOKEN.finditer((STATIC / "cairn.css").read_text())}
SURFACES = ("ground", "sheet", "well")
WASHES = ("moss-wash", "good-wash", "warn-wash", "bad-wash")
TEXT = ("ink", "ink-soft", "ink-faint", "moss", "moss-strong", "good", "warn", "bad")
PARTS = ("line-control", *(f"series-{number}" for number in range(1, 7)))
SCHEMES = {"light": 0, "dark": 1}


def luminance(colour: str) -> float:
    """Source: WCAG 2.2, relative luminance."""
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(front: str, back: str, scheme: str) -> float:
    dark, light = sorted(luminance(TOKENS[name][SCHEMES[scheme]]) for name in (front, back))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_can_be_read_on_every_surface(scheme: str) -> None:
    pairs = [*product(TEXT, (*SURFACES, *WASHES)), ("on-moss", "moss"), ("on-moss", "moss-strong")]
    faint = {pair: contrast(*pair, scheme) for pair in pairs if contrast(*pair, scheme) < 4.5}
    assert faint == {}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_controls_and_lines_can_be_seen_on_every_surface(scheme: str) -> None:
    pairs = [*product(PARTS, SURFACES), *product(("moss",), (*SURFACES, *WASHES))]
    faint = {pair: contrast(*pair, scheme) for pair in pairs if contrast(*pair, scheme) < 3}
    assert faint == {}

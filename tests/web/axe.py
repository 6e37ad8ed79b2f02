"""axe over what a tab shows: wide and narrow, light and dark, and what axe does not know about phones."""

from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page

AXE = Path(__file__).parents[1] / "clients" / "node_modules" / "axe-core" / "axe.min.js"
CHECKS = Path(__file__).with_name("axe.js")
EVERYTHING = {
    "type": "tag",
    "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}
# Nothing but colours differs between light and dark.
COLOURS = {"type": "rule", "values": ["color-contrast"]}
WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
SMALL_PHONE = {"width": 320, "height": 640}


@cache
def source() -> str:
    if not AXE.is_file():
        raise FileNotFoundError("axe is missing: run `npm ci` in tests/clients")
    return AXE.read_text() + CHECKS.read_text()


def axe_context(browser: Browser, **options: Any) -> BrowserContext:
    """A context whose pages have axe in them, whatever their policy says about scripts."""
    context = browser.new_context(reduced_motion="reduce", **options)
    context.add_init_script(script=source())
    return context


def findings(tab: Page) -> list[str]:
    """What is wrong with the page as it is, in every size and both colour schemes. The page is loaded once."""
    found: list[str] = []
    tab.evaluate("cairnChecks.open()")
    for size, where in ((WIDE, "wide"), (PHONE, "narrow")):
        tab.set_viewport_size(size)  # type: ignore[arg-type]
        for scheme, rules in (("light", EVERYTHING), ("dark", COLOURS)):
            tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            found += [
                f"{where}, {scheme}: {text}"
                for text in tab.evaluate("(rules) => cairnChecks.axe(rules)", rules)
            ]
    found += [f"narrow, too small: {text}" for text in tab.evaluate("cairnChecks.tooSmall()")]
    for size in (PHONE, SMALL_PHONE):
        tab.set_viewport_size(size)  # type: ignore[arg-type]
        found += [f"{size['width']} px, too wide: {text}" for text in tab.evaluate("cairnChecks.tooWide()")]
    return found

"""axe over what a tab shows: wide and narrow, light and dark, and what axe does not know about phones."""

from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page

AXE = Path(__file__).parents[1] / "clients" / "node_modules" / "axe-core" / "axe.min.js"
EVERYTHING = {
    "type": "tag",
    "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}
# Nothing but colours differs between light and dark.
COLOURS = {"type": "rule", "values": ["color-contrast"]}
WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
SMALL_PHONE = {"width": 320, "height": 640}

_RUN = """async (rules) => {
  const result = await axe.run(document, { runOnly: rules, resultTypes: ['violations'] })
  return result.violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, html, failureSummary }) => `${id} ${target.flat().join(' ')}: ${html.slice(0, 160)} ${failureSummary}`))
}"""
# What lies beyond the right edge though no region of its own scrolls it.
_TOO_WIDE = """() => {
  const root = document.documentElement
  if (root.scrollWidth <= innerWidth) return []
  const beyond = [...document.querySelectorAll('body *')].filter((each) => each.getBoundingClientRect().right > innerWidth + 1)
  return beyond.slice(0, 4).map((each) => `${root.scrollWidth} px: ${each.outerHTML.slice(0, 120)}`)
}"""
_TOO_SMALL = """() => {
  const inText = (each) => each.matches('a, .link') && getComputedStyle(each).display === 'inline'
  const targets = [...document.querySelectorAll('a[href], button, summary, select, textarea, input:not([type=hidden])')]
  return targets.flatMap((each) => {
    const label = each.matches('[type=checkbox], [type=radio]') && each.closest('label')
    const { width, height } = (label || each).getBoundingClientRect()
    const shown = each.checkVisibility({ visibilityProperty: true }) && width > 1 && height > 1
    const small = shown && !inText(each) && (height < 24 || width < 24) && !each.closest('.skip, .visually-hidden')
    return small ? [`${Math.round(width)} × ${Math.round(height)} px: ${each.outerHTML.slice(0, 120)}`] : []
  })
}"""
_OPEN_EVERYTHING = """() => {
  for (const each of document.querySelectorAll('details:not(.ask)')) each.open = !each.closest(".feed") || each.matches(".feed > li:first-child > details")
}"""


@cache
def source() -> str:
    if not AXE.is_file():
        raise FileNotFoundError("axe is missing: run `npm ci` in tests/clients")
    return AXE.read_text()


def axe_context(browser: Browser, **options: Any) -> BrowserContext:
    """A context whose pages have axe in them, whatever their policy says about scripts."""
    context = browser.new_context(reduced_motion="reduce", **options)
    context.add_init_script(script=source())
    return context


def findings(tab: Page) -> list[str]:
    """What is wrong with the page as it is, in every size and both colour schemes. The page is loaded once."""
    found: list[str] = []
    tab.evaluate(_OPEN_EVERYTHING)
    for size, where in ((WIDE, "wide"), (PHONE, "narrow")):
        tab.set_viewport_size(size)  # type: ignore[arg-type]
        for scheme, rules in (("light", EVERYTHING), ("dark", COLOURS)):
            tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            found += [f"{where}, {scheme}: {text}" for text in tab.evaluate(_RUN, rules)]
    found += [f"narrow, too small: {text}" for text in tab.evaluate(_TOO_SMALL)]
    for size in (PHONE, SMALL_PHONE):
        tab.set_viewport_size(size)  # type: ignore[arg-type]
        found += [f"{size['width']} px, too wide: {text}" for text in tab.evaluate(_TOO_WIDE)]
    return found

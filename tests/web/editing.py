"""What tests of pages do with forms: read an editor as a browser would send it, make segments and flags."""

import re

from tests.web.conftest import Browser

HERE = "/env/production"


def form_of(text: str) -> dict[str, str]:
    """What a browser would send of the editor on a page, unchanged."""
    editor = text[text.index('id="editor"') : text.index("</form>", text.index('id="editor"'))]
    fields = {}
    for tag in re.findall(r"<input [^>]*>", editor):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and name[1] != "csrf":
            fields[name[1]] = value[1] if value else ""
    for name, options in re.findall(r'<select[^>]* name="([^"]*)"[^>]*>(.*?)</select>', editor, re.S):
        chosen = re.search(r'<option value="([^"]*)" selected', options) or re.search(
            r'<option value="([^"]*)"', options
        )
        fields[name] = chosen[1] if chosen else ""
    return fields


def make_segment(browser: Browser, key: str, **fields: str) -> int:
    browser.get(f"{HERE}/segments/new")
    row = {"g0.r0.what": "property", "g0.r0.key": "plan", "g0.r0.operator": "is", "g0.r0.value": "premium"}
    form = {"name": key.title(), "key": key, **row, **fields, "do": "save"}
    answer = browser.post(f"{HERE}/segments/new", form)
    assert answer.status_code == 200, answer.text
    return int(answer.url.path.rsplit("/", 1)[1])


def make_flag(browser: Browser, key: str, **fields: str) -> None:
    browser.get(f"{HERE}/flags/new")
    form = {"key": key, "w0.key": "on", "w0.name": "On", **fields, "do": "save"}
    answer = browser.post(f"{HERE}/flags/new", form)
    assert answer.url.path == f"{HERE}/flags/{key}", answer.text

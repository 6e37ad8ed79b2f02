"""Signing up in a browser, as a newcomer does."""

from playwright.sync_api import Page

from tests.world import PASSWORD

EMAIL = "ann@shop.test"


def fill_sign_up(page: Page, *, password: str = PASSWORD) -> None:
    for label, value in (
        ("Your name", "Ann"),
        ("E-mail", EMAIL),
        ("Password", password),
        ("Workspace", "Shop"),
    ):
        page.get_by_label(label).fill(value)


def send_sign_up(page: Page) -> None:
    page.get_by_role("button", name="Create the workspace").click()

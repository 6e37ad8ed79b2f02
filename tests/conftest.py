"""What tests of several folders share: Chromium, and the capture script as built."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from playwright.sync_api import Browser, expect, sync_playwright

from tests.patience import WAIT_MS
from tests.prepared import Demos

# How long an example takes says how busy the machine is.
settings.register_profile("cairn", deadline=None)
settings.load_profile("cairn")

BROWSER = Path(__file__).parents[1] / "browser"
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"  # Debian's; `make test` installs it
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--host-resolver-rules=MAP *.test 127.0.0.1, MAP *.shop.co.uk 127.0.0.1",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no worker is left with a long one when the others have ended."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def modules() -> Path:
    """The packages of browser/, installed once."""
    packages = BROWSER / "node_modules"
    if not all((packages / name).is_dir() for name in ("esbuild", "@segment/analytics-next")):
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=BROWSER, check=True)
    return packages


@pytest.fixture(scope="session")
def script_folder(modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script, built from source."""
    folder = tmp_path_factory.mktemp("script")
    environ = {**os.environ, "CAIRN_SCRIPT_FOLDER": str(folder)}
    subprocess.run(["node", "build.mjs"], cwd=BROWSER, check=True, env=environ, stdout=subprocess.DEVNULL)
    return folder


@pytest.fixture(scope="session")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Demos:
    own = tmp_path_factory.getbasetemp()
    return Demos(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own)


# One a module, never longer: while Playwright runs, its thread can run no event loop, and there can be no second one.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=ARGUMENTS, ignore_default_args=["--disable-back-forward-cache"]
        )
        yield browser
        browser.close()

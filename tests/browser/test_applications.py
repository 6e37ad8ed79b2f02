"""Single-page applications, built from their packages as people build them."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.browser.conftest import Visit
from tests.browser.site import Site
from tests.conftest import BROWSER

APPS = Path(__file__).parent / "apps"


@pytest.fixture(scope="module", params=["react.jsx", "vue.js"])
def application(
    request: pytest.FixtureRequest, modules: Path, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The application's code in one file."""
    built = tmp_path_factory.mktemp("application") / "app.js"
    subprocess.run(
        [
            "node_modules/.bin/esbuild",
            str(APPS / request.param),
            "--bundle",
            "--minify",
            "--jsx=automatic",
            f"--outfile={built}",
            "--log-level=error",
            '--define:process.env.NODE_ENV="production"',
            "--define:__VUE_PROD_DEVTOOLS__=false",
            "--define:__VUE_OPTIONS_API__=false",
            "--define:__VUE_PROD_HYDRATION_MISMATCH_DETAILS__=false",
        ],
        cwd=BROWSER,
        check=True,
        env={**os.environ, "NODE_PATH": str(modules)},
    )
    return built.read_text()


def test_an_application_is_captured_from_page_to_page(visit: Visit, site: Site, application: str) -> None:
    site.pages["/app.js"] = (application, {})
    page = visit("<div id=app></div><script src=/app.js></script>", path="/start")
    page.click("button.counter")
    page.click("a")
    page.fill("[name=amount]", "1234")
    page.click("button")
    page.go_back()
    page.wait_for_selector("button.counter")
    views = site.wait_for("pageview", 3)
    site.wait_for("submit")
    assert [view["pageview_info"]["url"]["path"] for view in views] == ["/start", "/items/7", "/start"]
    assert [view["pageview_info"]["title"] for view in views] == ["Home", "Item 7", "Home"]
    assert [view["pageview_info"]["previous_page"] for view in views[1:]] == ["/start", "/items/7"]
    clicks = [one["event"]["interaction"]["nodes"][0] for one in site.wait_for("click", 3)]
    assert [node.get("node_text") for node in clicks] == ["Clicked 0", "Seventh", "Buy"]
    change, submit = site.wait_for("change")[0], site.of_kind("submit")[0]
    assert change["event"]["interaction"]["hierarchy"] == "@div;#app;|@form;|@input;[name=amount];|"
    assert submit["event"]["interaction"]["hierarchy"] == "@div;#app;|@form;|"
    assert "1234" not in str([one["event"] for one in (change, submit)])
    assert site.kinds.count("session") == 1

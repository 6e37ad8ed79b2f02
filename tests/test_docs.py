"""Documentation is held to the code: generated pages do not drift, links lead somewhere, the five minutes work."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from cairn.cli.main import cli
from cairn.cli.reference import pages
from cairn.client_address import TrustedProxies
from cairn.http_server.connections import Connections, Refused
from cairn.http_server.limits import limits_for
from tests.chaos.slow import BEGINNINGS
from tests.databases import environment_of
from tests.prepared import Demos
from tests.served import Served

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#]+)(#[^)]*)?\)")
PATH = re.compile(r"`((?:cairn|docs|tests|bench|browser)/[\w./-]*)`")
SHELL = re.compile(r"```sh\n(.*?)```", re.S)


@pytest.mark.parametrize("name", sorted(pages(cli)))
def test_generated_page_is_what_the_code_says(name: str) -> None:
    path = ROOT / "docs" / "reference" / name
    assert path.read_text() == pages(cli)[name](), "run: .venv/bin/cairn reference docs/reference"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    targets = [match.group(1) for match in LINK.finditer(document.read_text())]
    dead = [
        t for t in targets if not t.startswith(("http:", "https:")) and not (document.parent / t).exists()
    ]
    assert not dead


def test_paths_that_contributors_are_sent_to_exist() -> None:
    paths = PATH.findall((ROOT / "CONTRIBUTING.md").read_text())
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_architecture_names_every_package() -> None:
    picture = (ROOT / "docs" / "architecture.md").read_text()
    packages = [path.parent.name for path in (ROOT / "cairn").glob("*/__init__.py")]
    assert [package for package in packages if f"`{package}/`" not in picture] == []


def test_make_run_prints_address_sign_in_and_keys_and_opens_nothing(tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f"#!/bin/sh\ntouch {tmp_path}/opened\n")
    browser.chmod(0o755)
    environment = os.environ | {
        "CAIRN_DATA_DIR": str(tmp_path / "data"),
        "CAIRN_PORT": "0",
        "BROWSER": str(browser),
        **environment_of(tmp_path / "data"),
    }
    run = subprocess.Popen(
        ["make", "--silent", "run"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert run.stdout is not None
    try:
        said: list[str] = []
        while not (said and said[-1].startswith("Cairn is ready")):
            line = run.stdout.readline()
            assert line, "".join(said)
            said.append(line)
        url = said[-1].split()[-1]
        sign_in = next(line for line in said if line.startswith("Sign in")).split()
        with httpx2.Client(base_url=url, follow_redirects=True) as visitor:
            form = re.search(r'name="csrf" value="([^"]+)"', visitor.get("/sign-in").text)
            assert form
            entered = visitor.post(
                "/sign-in", data={"csrf": form[1], "email": sign_in[2], "password": sign_in[4]}
            )
            assert "demo data" in entered.text
        for key in ("App id", "Write keys", "Flag SDK", "API token"):
            assert any(line.startswith(key) for line in said), said
    finally:
        os.killpg(run.pid, signal.SIGTERM)
        run.stdout.close()
        run.wait(30)
    assert not (tmp_path / "opened").exists()


@pytest.fixture(scope="module")
def cairn(tmp_path_factory: pytest.TempPathFactory, demos: Demos) -> Iterator[Served]:
    served = demos.served(tmp_path_factory.mktemp("docs") / "data").start()
    yield served
    served.stop()


GUIDES = [*sorted((ROOT / "docs" / "guide").glob("*.md")), ROOT / "README.md"]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_the_guide_types_works(cairn: Served, guide: Path) -> None:
    """Every shell block, in order, in one shell; only starting Cairn is left out, because it runs already."""
    blocks = [block for block in SHELL.findall(guide.read_text()) if block.strip() != "make run"]
    if not blocks:
        return
    environment = cairn.environment | {"CAIRN_DATA_DIR": str(cairn.data_dir), "CAIRN_PUBLIC_URL": cairn.url}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    if guide.name == "README.md":
        assert "you@example.test on" in done.stdout
        assert "stranger@example.test off" in done.stdout


def test_the_limits_at_the_public_port_are_named_with_their_counters() -> None:
    """Whoever is cut off by one finds it, and what to watch, in the page on running Cairn."""
    page = (ROOT / "docs" / "operations" / "run.md").read_text()
    assert [why for why in Refused if f"`{why}`" not in page] == []
    report = Connections(limits_for(1024), TrustedProxies("")).report()
    assert [name for name in report if f"`{name}`" not in page] == []
    for kind in BEGINNINGS:
        assert kind.split()[-1] in page, kind

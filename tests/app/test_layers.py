"""The import contract of `.importlinter` holds, and it bites: a violation written beside the real code is found."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    linter = Path(sys.executable).with_name("lint-imports")
    environment = os.environ | {"PYTHONPATH": str(folder), "NO_COLOR": "1", "COLUMNS": "200"}
    command = [str(linter), "--config", str(ROOT / ".importlinter"), "--no-cache"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's code by itself, to be spoilt."""
    folder = tmp_path_factory.mktemp("layers")
    kept = shutil.ignore_patterns("__pycache__", "static", "templates", "shop")
    shutil.copytree(ROOT / "cairn", folder / "cairn", ignore=kept)
    # The shop's modules are code; its folder of pages is not.
    shutil.copytree(ROOT / "cairn/demo", folder / "cairn/demo", dirs_exist_ok=True)
    return folder


def test_the_contract_holds_for_the_code_as_it_is(copy: Path) -> None:
    answer = lint(copy)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize(
    ("module", "statement", "broken"),
    [
        pytest.param("web/pages/account", "import sqlalchemy", "not the database", id="SQL in a page"),
        pytest.param("api/resources/users", "import sqlalchemy", "not the database", id="SQL in the API"),
        pytest.param(
            "web/pages/users",
            "from cairn.db.tables import segments",
            "not the database",
            id="a table in a page",
        ),
        pytest.param(
            "api/resources/users",
            "from cairn.db.engine import reading",
            "not the database",
            id="a connection in the API",
        ),
        pytest.param(
            "app/users",
            "from cairn.query.scope import Scope",
            "where questions are",
            id="a text of a use case",
        ),
        pytest.param(
            "privacy/deletion",
            "from cairn.store.question import ad_hoc",
            "where questions are",
            id="an ad-hoc text",
        ),
        pytest.param(
            "publisher", "from cairn.members.lmdb import LmdbMembers", "in one place", id="a concrete class"
        ),
        pytest.param(
            "app/users", "from cairn.web.render import count", "Arrows", id="a use case knows pages"
        ),
        pytest.param(
            "analysis/users", "from cairn.app.core import Core", "Arrows", id="a question knows the core"
        ),
    ],
)
def test_the_contract_bites(copy: Path, module: str, statement: str, broken: str) -> None:
    path = copy / "cairn" / f"{module}.py"
    kept = path.read_text()
    try:
        path.write_text(f"{kept}\n\n{statement}\n")
        answer = lint(copy)
    finally:
        path.write_text(kept)
    assert answer.returncode != 0, answer.stdout
    assert any(broken in line and "BROKEN" in line for line in answer.stdout.splitlines()), answer.stdout


@pytest.mark.parametrize("package", ["web", "api"])
def test_pages_and_api_hold_no_connection(package: str) -> None:
    """A connection could be handed over without an import; nothing that opens or uses one is named there."""
    banned = {"engine", "execute", "scalar", "reading", "writing"}
    for path in (ROOT / "cairn" / package).rglob("*.py"):
        attributes = {
            node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)
        }
        assert not attributes & banned, (path, attributes & banned)

"""Copies what the pages need from npm into `static/vendor`, so that nothing is fetched from elsewhere at run time.

Run after `npm ci`: `python -m cairn.web.assets`.
"""

import shutil
import sys
from pathlib import Path

from cairn.errors import Misconfigured

VENDOR = Path(__file__).parent / "static" / "vendor"
COPIES: tuple[tuple[str, str], ...] = (  # (in node_modules, in static/vendor)
    ("htmx.org/dist/htmx.min.js", "htmx.min.js"),
    ("htmx.org/LICENSE", "htmx.LICENSE"),
    ("@fontsource-variable/inter/files/inter-latin-wght-normal.woff2", "inter-latin.woff2"),
    ("@fontsource-variable/inter/LICENSE", "inter.LICENSE"),
)


def copy_assets(node_modules: Path, target: Path = VENDOR) -> list[Path]:
    """The files written. Raises Misconfigured when the packages are not installed."""
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for source, name in COPIES:
        path = node_modules / source
        if not path.is_file():
            raise Misconfigured(f"{path} is missing; run `npm ci` first", field="node_modules")
        written.append(Path(shutil.copyfile(path, target / name)))
    return written


def main() -> None:
    node_modules = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("node_modules")
    try:
        written = copy_assets(node_modules)
    except Misconfigured as error:
        sys.exit(f"cairn: {error}")
    print(f"{len(written)} files in {VENDOR}")


if __name__ == "__main__":
    main()

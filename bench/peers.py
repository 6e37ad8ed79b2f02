"""The other browser scripts, from npm at pinned versions, and ours built from source."""

import json
import os
import subprocess
from pathlib import Path

from msgspec import Struct

BROWSER = Path(__file__).parents[1] / "browser"


class Peer(Struct, frozen=True):
    """What a page loads of a package: a file of it, or its entry bundled and minified as a page's build would."""

    package: str
    version: str
    file: str = ""


PEERS = (
    Peer("plausible-tracker", "0.3.9"),
    Peer("@plausible-analytics/tracker", "0.4.6"),
    Peer("mixpanel-browser", "2.83.0", "dist/mixpanel.min.js"),
    Peer("@segment/analytics-next", "1.84.3", "dist/umd/standalone.js"),
    Peer("posthog-js", "1.449.2", "dist/array.js"),
)


def build_ours(folder: Path) -> dict[str, dict[str, int]]:
    """Build into a folder; the sizes of its files."""
    if not (BROWSER / "node_modules").is_dir():
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=BROWSER, check=True)
    environ = {**os.environ, "CAIRN_SCRIPT_FOLDER": str(folder)}
    subprocess.run(["node", "build.mjs"], cwd=BROWSER, check=True, env=environ, stdout=subprocess.DEVNULL)
    files: dict[str, dict[str, int]] = json.loads((folder / "manifest.json").read_text())["files"]
    return files


def install(folder: Path, peers: tuple[Peer, ...] = PEERS) -> None:
    """Install the packages into a temporary folder; nothing of them stays."""
    (folder / "package.json").write_text('{"private": true}')
    names = [f"{peer.package}@{peer.version}" for peer in peers]
    flags = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(["npm", "install", *flags, *names], cwd=folder, check=True)


def script_of(peer: Peer, folder: Path) -> bytes:
    """What a page loads of an installed package."""
    if peer.file:
        return (folder / "node_modules" / peer.package / peer.file).read_bytes()
    # All of it: an import of its names alone would shake away what a page uses.
    return bundle(f"import * as all from '{peer.package}'; globalThis.peer = all", folder)


def bundle(source: str, folder: Path) -> bytes:
    """One minified file from a few lines that import packages of the folder."""
    command = [
        str(BROWSER / "node_modules" / ".bin" / "esbuild"),
        "--bundle", "--minify", "--format=iife", "--target=es2020", "--log-level=error",
    ]  # fmt: skip
    return subprocess.run(command, cwd=folder, input=source.encode(), check=True, capture_output=True).stdout

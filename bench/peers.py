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
    is_source: bool = False  # the file is what the package's own build makes the script of


PEERS = (
    # The last version of Umami on npm; its tracker has grown since.
    Peer("umami", "2.10.0", "src/tracker/index.js", is_source=True),
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
    flags = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
    names = [f"{peer.package}@{peer.version}" for peer in peers if not peer.is_source]
    subprocess.run(["npm", "install", *flags, *names], cwd=folder, check=True)
    for peer in peers:
        if peer.is_source:  # without what it depends on: a whole server
            name = f"{peer.package}@{peer.version}"
            subprocess.run(
                ["npm", "pack", "--silent", name], cwd=folder, check=True, stdout=subprocess.DEVNULL
            )
            target = folder / "node_modules" / peer.package
            target.mkdir(parents=True)
            packed = f"{peer.package}-{peer.version}.tgz"
            subprocess.run(
                ["tar", "xzf", packed, "--strip-components=1", "-C", target], cwd=folder, check=True
            )


def script_of(peer: Peer, folder: Path) -> bytes:
    """What a page loads of an installed package."""
    if peer.is_source:
        return bundle(f"import '{peer.package}/{peer.file}'", folder)
    if peer.file:
        return (folder / "node_modules" / peer.package / peer.file).read_bytes()
    # All of it: an import of its names alone would shake away what a page uses.
    return bundle(f"import * as all from '{peer.package}'; globalThis.peer = all", folder)


def bundle(source: str, folder: Path) -> bytes:
    """One minified file from a few lines that import packages of the folder."""
    command = [
        str(BROWSER / "node_modules" / ".bin" / "esbuild"),
        "--bundle",
        "--minify",
        "--format=iife",
        "--target=es2020",
        "--log-level=error",
    ]
    return subprocess.run(command, cwd=folder, input=source.encode(), check=True, capture_output=True).stdout

"""`make bench-script`: gzip sizes of the capture script beside the others', with ratios.

The peers' files hold what a page loads first; some load more later (PostHog's recorder, Segment's destinations).
Umami's newest tracker is not on npm; here it is built from the sources of the last version that is.
"""

import gzip
import tempfile
from pathlib import Path

from bench.figures import against, report
from bench.peers import PEERS, build_ours, install, script_of

LIMIT_BYTES = 8192


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="cairn-bench-") as name:
        folder = Path(name)
        ours = build_ours(folder / "ours")
        install(folder)
        others = {f"{peer.package}@{peer.version}": script_of(peer, folder) for peer in PEERS}
    core = ours["core.js"]["gzip"]
    first_visit = core + ours["loader.js"]["gzip"]
    report(
        "script",
        ours={file: {key: size[key] for key in ("bytes", "gzip", "brotli")} for file, size in ours.items()},
        core=against(core, LIMIT_BYTES, "bytes gzip"),
        first_visit_bytes_gzip=first_visit,
        with_what_loads_late_bytes_gzip=first_visit + ours["later.js"]["gzip"],
        others={
            package: {
                "bytes": len(body),
                "gzip": (zipped := len(gzip.compress(body, 9))),
                "times_our_core": round(zipped / core, 2),
            }
            for package, body in others.items()
        },
    )


if __name__ == "__main__":
    main()

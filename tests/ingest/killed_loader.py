"""A process that loads until it is killed. Arguments: data folder."""

import sys
import threading
from pathlib import Path

from tests.ingest.rig import opened


def main() -> None:
    rig = opened(Path(sys.argv[1]))
    print("ready", flush=True)
    rig.loader.run(threading.Event())


if __name__ == "__main__":
    main()

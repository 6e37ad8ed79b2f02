"""`make chaos`: every disaster in turn, on a served Cairn of its own. Prints JSON.

`KILLS=50` and `SEED=1` by default; `ONLY=kills,requests,disk,damage,clock` leaves the others out. Exits with 1 when a
promise was broken. What cannot be tried here (no right to mount, no faketime) is named with the reason.
"""

import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

from tests.chaos.clock import STEPS, NoFakeTime, jump
from tests.chaos.damage import damage_log
from tests.chaos.disk import PARTS, fill_disk
from tests.chaos.kills import kill_anything, kill_core
from tests.chaos.requests import flood_without_key, stop_core
from tests.chaos.slow import hold_slowly
from tests.chaos.syncs import kill_either_side, moody_partner

Disaster = Callable[[Path], dict[str, Any]]


def disasters(kills: int, draw: random.Random) -> Iterator[tuple[str, str, Disaster]]:
    """Group, name, and what to do in an empty folder."""
    yield "kills", "core killed", kill_core
    yield "kills", "anything killed", lambda folder: kill_anything(folder, kills, draw)
    yield "kills", "either side of a sync killed", lambda folder: kill_either_side(folder, draw)
    yield "kills", "a partner that is away, hangs and refuses", lambda folder: moody_partner(folder, draw)
    yield "requests", "records that stop the core", stop_core
    yield "requests", "flood without a key", flood_without_key
    yield "requests", "slow senders", hold_slowly
    for part in PARTS:
        yield "disk", f"disk full: {part}", lambda folder, part=part: fill_disk(folder, part)
    yield "damage", "log damaged", lambda folder: damage_log(folder, draw)
    for step in STEPS:
        yield "clock", f"clock: {step}", lambda folder, step=step: jump(folder, step)


def main() -> int:
    kills, seed = int(os.environ.get("KILLS", "50")), int(os.environ.get("SEED", "1"))
    only = os.environ.get("ONLY", "kills,requests,disk,damage,clock").split(",")
    found: dict[str, dict[str, Any]] = {}
    for group, name, disaster in disasters(kills, random.Random(seed)):
        if group in only:
            print(name, file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory(prefix="cairn-chaos-") as folder:
                found[name] = tried(disaster, Path(folder) / "data")
    is_kept = all(one.get("kept", "skipped" in one) for one in found.values())
    print(json.dumps({"bench": "chaos", **found, "kept": is_kept}, indent=1))
    return 0 if is_kept else 1


def tried(disaster: Disaster, folder: Path) -> dict[str, Any]:
    try:
        return disaster(folder)
    except NoFakeTime as error:
        return {"skipped": str(error)}
    except CalledProcessError as error:
        if error.cmd[0] != "mount":
            raise
        return {"skipped": f"mounting a small disk is not allowed here: {error.stderr.decode().strip()}"}


if __name__ == "__main__":
    sys.exit(main())

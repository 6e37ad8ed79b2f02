"""The event log's files damaged while Cairn is down, and what the next start makes of them."""

import random
import time
from pathlib import Path
from typing import Any

from cairn.eventlog.log import START
from cairn.paths import Paths
from tests.chaos.checks import keys, wait_for_core, wait_for_quiet
from tests.chaos.disk import home_concerns, signed_in
from tests.chaos.senders import start_senders
from tests.seams import open_log
from tests.served import Served

ROUNDS = 12
FILES = ("collect.db", "collect.db-wal", "collect.db-shm", "collect.db.cursors", "collect.db.tail")


def damage_log(data_dir: Path, draw: random.Random, *, rounds: int = ROUNDS) -> dict[str, Any]:
    """Each round: killed with events in the log that are not loaded, one file damaged, started again."""
    served = Served(data_dir, options=("--rate-limits", "false")).make_demo().start()
    port = served.port
    acknowledged: set[str] = set()
    done: list[str] = []
    told = 0
    try:
        for number in range(rounds):
            senders = start_senders(served.url, served.production, number)
            time.sleep(draw.uniform(0.5, 1.5))
            served.kill_everything()
            for sender in senders:
                sender.finish()
                acknowledged |= sender.acknowledged
            done.append(harm(data_dir / "log", FILES[number % len(FILES)], draw))
            served.start(port=port)
            wait_for_core(served)
            wait_for_quiet(served)
            page = signed_in(served)
            told += any("The event log" in one for one in home_concerns(page, served))
            page.close()
    finally:
        served.stop()
    stored = keys(data_dir)
    log = open_log(Paths(data_dir).log)
    damage = log.damaged()
    log.close()
    lost = acknowledged - set(stored)
    doubled = [key for key, times in stored.items() if times > 1]
    holes = [reason for position, reason in damage if position != START]
    return {
        "damaged": done,
        "acknowledged": len(acknowledged),
        "events_lost": len(lost),
        "doubled": len(doubled),
        "reported": [reason for _, reason in damage][:12],
        "rounds_with_a_word_on_home": told,
        # A damaged row is a group of requests; every one that is lost must have been named.
        "kept": not doubled and (not lost or bool(holes)) and (not damage or told > 0),
    }


def harm(folder: Path, name: str, draw: random.Random) -> str:
    path = folder / name
    if not path.exists() or not path.stat().st_size:
        return f"{name}: not there"
    body = bytearray(path.read_bytes())
    how = draw.choice(("flip", "cut", "overwrite"))
    at = draw.choice((draw.randrange(len(body)), draw.randrange(min(100, len(body)))))
    if how == "cut":
        body = body[:at]
    elif how == "flip":
        body[at] ^= draw.randrange(1, 256)
    else:
        body[at : at + 500] = draw.randbytes(min(500, len(body) - at))
    path.write_bytes(body)
    return f"{name}: {how} at {at}"

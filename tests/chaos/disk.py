"""Disks that fill up under a served Cairn: the whole data directory, or one part of it on a disk of its own."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.chaos.checks import SETTLE_S, afterwards, running, seen_by, wait_for_core, wait_for_quiet
from tests.chaos.senders import Caller, Planner, start_senders
from tests.served import Served

PARTS = {"everything": "", "log": "log", "members": "members", "event store": "store"}
ROOM_MB = {"everything": 82, "log": 8, "members": 8, "event store": 64}  # beside what is there
FULL_S = 8.0
LONGEST_BACK_S = 30.0  # from free space on the disk to the first 200
# A full disk for the members store shows only when somebody's membership changes, for the store when events are loaded.
REFUSES = ("everything", "log")


@contextmanager
def small_disk(folder: Path, room_mb: int) -> Iterator[None]:
    """What is in the folder moves to a disk with so much space. Raises CalledProcessError if mounting fails."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(folder.name + ".aside")
    shutil.copytree(folder, aside)
    taken = sum(file.stat().st_blocks * 512 for file in aside.rglob("*"))
    size = taken + (room_mb << 20)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True, capture_output=True
    )
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        shutil.rmtree(aside)


def fill(folder: Path) -> Path:
    """To the last byte."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return ballast


def fill_disk(data_dir: Path, part: str) -> dict[str, Any]:
    served = Served(data_dir, options=("--rate-limits", "false")).make_demo()
    folder = data_dir / PARTS[part]
    with small_disk(folder, ROOM_MB[part]):
        found = _fill_under(served, folder, part)
        found |= afterwards(data_dir, found.pop("senders"), found.pop("planner"))
    found["kept"] = found["kept"] and not found["unmet"]
    return found


def _fill_under(served: Served, folder: Path, part: str) -> dict[str, Any]:
    served.start()
    try:
        page = signed_in(served)
        senders, planner = (
            start_senders(served.url, served.production),
            Planner(served.url, served.production),
        )
        planner.start()
        sdk = f"i={served.production['sdk_key']}&a={served.demo['account_id']}&sn=vwo-fme-node-sdk&sv=1.35.0"
        caller = Caller(served.url, "settings", "GET", f"/server-side/v2-settings?{sdk}")
        time.sleep(2)
        caller.start()
        ballast = fill(folder)
        time.sleep(FULL_S / 2)
        deadline = time.monotonic() + LONGEST_BACK_S
        while not (reasons := home_concerns(page, served)) and time.monotonic() < deadline:
            time.sleep(0.2)
        for role in ("core", "edge"):
            os.kill(running(served, role), signal.SIGKILL)
        time.sleep(FULL_S / 2)
        refusing = httpx2.get(f"{served.url}/-/edge/health").json()["collector"]["refusing"]
        while_full = seen_by(senders)
        settings_while_full = len(caller.took_ms)
        ballast.unlink()
        freed = time.monotonic()
        before = seen_by(senders)["acknowledged"]
        while seen_by(senders)["acknowledged"] == before and time.monotonic() - freed < 60:
            time.sleep(0.01)
        back_s = time.monotonic() - freed
        wait_for_core(served)
        for one in (*senders, planner, caller):
            one.finish()
        wait_for_quiet(served)
        time.sleep(SETTLE_S + 6)  # the longest pause of a worker that failed
        calm = home_concerns(page, served)
        page.close()
    finally:
        served.stop()
    is_refused = part in REFUSES
    answers, waits = while_full["other_answers"], while_full["of_them_with_retry_after"]
    promises = {
        "senders are told when to come again": not is_refused
        or (answers.keys() == {"503"} and waits == sum(answers.values())),
        "the edge says why": not is_refused or bool(refusing),
        "Home says why": bool(reasons),
        # The edge's own death resets the caller's connection once.
        "flags are decided": settings_while_full > 10 and len(caller.failures) <= 1,
        "senders are accepted again": back_s < LONGEST_BACK_S,
        "Home is calm again": not calm,
    }
    unmet = [promise for promise, is_kept in promises.items() if not is_kept]
    return {
        "senders": senders,
        "planner": planner,
        "unmet": unmet,
        "home": reasons,
        "edge": refusing,
        "home_afterwards": calm,
        "flag_calls": len(caller.took_ms),
        "flag_failures": caller.failures[:3],
        "answers_while_full": while_full["other_answers"],
        "accepted_again_s": round(back_s, 2),
    }


def signed_in(served: Served) -> httpx2.Client:
    client = httpx2.Client(base_url=served.url, timeout=30, follow_redirects=True)
    form = client.get("/sign-in").text
    csrf = re.search(r'name="csrf" value="([^"]*)"', form)
    assert csrf is not None
    told_in = {
        "email": served.demo["email"],
        "password": served.demo["password"],
        "csrf": csrf[1],
        "next": "/",
    }
    client.post("/sign-in", data=told_in).raise_for_status()
    return client


def home_concerns(client: httpx2.Client, served: Served) -> list[str]:
    """What Home says is wrong with Cairn itself, in its words."""
    page = client.get("/").text
    titles = (
        "Events are not accepted",
        "Events are accepted, but cannot be loaded",
        "Live segments wait",
        "Changes of flags",
        "The event log",
        "Events become visible",
    )
    found = re.findall(r"<td>([^<]*)<br><small>([^<]*)</small>", page)
    return [f"{title}: {text}" for title, text in found if title.startswith(titles)]

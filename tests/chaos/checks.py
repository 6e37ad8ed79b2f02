"""What the disasters have in common: who runs, when all is quiet again, and what is there afterwards."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2

from cairn.clock import to_ms, utc_now
from cairn.db.engine import open_engine, reading
from cairn.definitions.matching import Definitions
from cairn.paths import Paths
from cairn.segments.leaves import Leaves
from cairn.segments.meaning import resolve_watched
from cairn.segments.questions import count_everybody
from cairn.segments.watched import read_watched
from cairn.store.question import ad_hoc
from tests.chaos.senders import EVENT, Planner, Sender
from tests.databases import database_url
from tests.seams import open_log, open_members, open_store
from tests.served import Served

SETTLE_LIMIT_S = 120
SETTLE_S = 2.0  # live segments follow the loader within a second


_ROLES = {b"edge": "edge", b"deliver": "delivery"}  # by their subcommands


def processes(served: Served) -> dict[str, int]:
    """Who runs now: children of the supervisor by their subcommand."""
    found = {"supervisor": served.pid}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except (OSError, IndexError):
            continue
        if parent == served.pid:
            role = next((role for word, role in _ROLES.items() if word in words), "core")
            found[role] = int(entry.name)
    return found


def running(served: Served, role: str) -> int:
    """The process of this role; started again by the supervisor alone, and waited for only that long."""
    began = time.monotonic()
    while time.monotonic() - began < SETTLE_LIMIT_S:
        if pid := processes(served).get(role):
            return pid
        time.sleep(0.01)
    raise RuntimeError(f"the {role} was not started again")


def first_list(served: Served) -> str:
    answer = httpx2.get(
        f"{served.url}/api/v1/segments", headers={"Authorization": f"Bearer {served.demo['api_token']}"}
    )
    answer.raise_for_status()
    for segment in answer.json()["segments"]:
        for state in segment.get("environments", []):
            if state.get("list_id"):
                return str(state["list_id"])
    raise RuntimeError("no segment shows its list")


def wait_for_core(served: Served) -> float:
    """Until a page of the core answers again."""
    began = time.monotonic()
    while time.monotonic() - began < SETTLE_LIMIT_S:
        try:
            if httpx2.get(f"{served.url}/api/v1/openapi.json", timeout=5).status_code == 200:
                return time.monotonic() - began
        except httpx2.HTTPError:
            pass
        time.sleep(0.02)
    raise RuntimeError("the core did not come back")


def wait_for_quiet(served: Served) -> None:
    """Until the loader's cursor stands at the end of the log."""
    log = open_log(Paths(served.data_dir).log)
    began = time.monotonic()
    try:
        while log.committed("loader") < log.end():
            if time.monotonic() - began > SETTLE_LIMIT_S:
                raise RuntimeError("the loader does not reach the end of the log")
            time.sleep(0.1)
    finally:
        log.close()


def count(data_dir: Path, where: str) -> int:
    store = open_store(data_dir / "store", memory_mb=1024)
    try:
        sql = f"SELECT count() FROM cairn.events WHERE environment_id = {{environment:UInt32}} AND {where}"
        return sum(int(store.query(ad_hoc(environment, sql))[0][0]) for environment in range(1, 5))
    finally:
        store.close()


def keys(data_dir: Path) -> dict[str, int]:
    store = open_store(data_dir / "store", memory_mb=1024)
    try:
        sql = f"""SELECT properties['key'], count() FROM cairn.events
                 WHERE environment_id = {{environment:UInt32}} AND name = '{EVENT}' GROUP BY 1"""
        return {
            str(key): int(times)
            for environment in range(1, 5)
            for key, times in store.query(ad_hoc(environment, sql))
        }
    finally:
        store.close()


def seen_by(senders: Sequence[Sender]) -> dict[str, Any]:
    """What the senders saw of it."""
    refused: dict[str, int] = {}
    for sender in senders:
        for status, times in sender.refused.items():
            refused[str(status)] = refused.get(str(status), 0) + times
    return {
        "acknowledged": sum(len(sender.acknowledged) for sender in senders),
        "retries": sum(sender.retries for sender in senders),
        "other_answers": refused,
        "of_them_with_retry_after": sum(sender.told_to_wait for sender in senders),
    }


def afterwards(data_dir: Path, senders: Sequence[Sender], planner: Planner | None = None) -> dict[str, Any]:
    """Compare what was acknowledged with what is stored. The server has stopped."""
    acknowledged: set[str] = set().union(*(sender.acknowledged for sender in senders))
    stored = keys(data_dir)
    lost = acknowledged - set(stored)
    doubled = [key for key, times in stored.items() if times > 1]
    wrong = wrong_memberships(data_dir, planner)
    return {
        **seen_by(senders),
        "lost": len(lost),
        "doubled": len(doubled),
        "wrong_memberships": wrong,
        "examples": sorted(lost)[:5] + doubled[:5],
        "kept": not lost and not doubled and not wrong and bool(acknowledged),
    }


def wrong_memberships(data_dir: Path, planner: Planner | None) -> dict[str, int]:
    """Segments whose live members differ from a full count, and identities in a list they do not belong to."""
    store, engine = open_store(data_dir / "store", memory_mb=1024), open_engine(database_url(data_dir))
    members = open_members(Paths(data_dir).members)
    wrong: dict[str, int] = {}
    leaves = Leaves()
    try:
        with reading(engine) as connection:
            watched = read_watched(connection, {}, leaves, to_ms(utc_now()))
        resolve_watched(watched.values(), engine, Definitions(store), leaves)
        for one in watched.values():
            [counted] = count_everybody(store, one.environment_id, [one.ready], to_ms(utc_now()))
            holding = counted.holding
            listed = {value for value, _ in members.values(one.list_set)}
            different = {str(user) for user in holding} ^ {
                value for value, _ in members.values(one.users_set)
            }
            different |= listed ^ {identity for identity in holding.values() if identity}
            if one.key == "heap_premium_users" and planner and planner.environment_id == one.environment_id:
                different |= {
                    identity
                    for identity, plan in planner.plans.items()
                    if (plan == "premium") != (identity in listed)
                }
            if different:
                wrong[one.key] = wrong.get(one.key, 0) + len(different)
    finally:
        members.close()
        engine.dispose()
        store.close()
    return wrong

"""Integrations → Directory: what segments of an environment can be synced to, who allowed it, and how it stands."""

from collections import Counter

from msgspec import Struct

from cairn.analysis.users import User
from cairn.app import users
from cairn.app.call import Call
from cairn.members.sets import users_set
from cairn.segments.definition import Segment
from cairn.sync import grants, partner_apps, syncs, targets
from cairn.sync.grants import Grant
from cairn.sync.mapping import users_without_id
from cairn.sync.partner_apps import PartnerApp
from cairn.sync.targets import Target
from cairn.workspace.environment import Environment

SHOWN = 50  # users without an id, on a page
# So many members are looked at for a page; the next page looks on.
LOOKED_AT, AT_ONCE = 5_000, 500


class Connected(Struct, frozen=True):
    """A target, with what is synced to it."""

    target: Target
    grant: Grant | None  # None: it needs no consent, or that was revoked
    is_builtin: bool  # of another Cairn
    syncs: int
    failing: int
    paused: int


class Directory(Struct, frozen=True):
    connected: list[Connected]  # by name
    apps: list[PartnerApp]  # registered, and not allowed anything in this environment


class WithoutId(Struct, frozen=True):
    users: list[User]
    looked_at: int  # members
    next: str  # where to look on; empty: everybody was looked at


def read_directory(call: Call, environment: Environment) -> Directory:
    with call.reading() as connection:
        known = targets.list_targets(connection, environment.id)
        allowed = grants.list_grants(connection, call.workspace_id, environment_id=environment.id)
        apps = partner_apps.list_apps(connection, call.workspace_id)
        running = syncs.syncs_in(connection, environment.id)
    by_target = {grant.target_id: grant for grant in allowed}
    builtin = {app.id for app in apps if app.is_builtin}
    total, failing, paused = Counter[int](), Counter[int](), Counter[int]()
    for sync in running:
        total[sync.target_id] += 1
        failing[sync.target_id] += bool(sync.error)
        paused[sync.target_id] += not sync.is_on
    connected = []
    for target in known:
        grant = by_target.get(target.id)
        is_builtin = grant is not None and grant.app_id in builtin
        counts = (total[target.id], failing[target.id], paused[target.id])
        connected.append(Connected(target, grant, is_builtin, *counts))
    granted = {grant.app_id for grant in allowed}
    return Directory(connected, [app for app in apps if app.id not in granted])


def users_without(
    call: Call, environment: Environment, segment: Segment, mapping: str, *, after: str = ""
) -> WithoutId:
    """Members of a segment whom a target cannot be told of, because the mapping gives them no id."""
    name, members, looked_at = users_set(environment.id, segment.id), call.core.members, 0
    missing: list[int] = []
    while looked_at < LOOKED_AT and len(missing) < SHOWN:
        rows = members.values(name, after=after, limit=AT_ONCE)
        ids = [int(value) for value, _ in rows]
        with call.reading() as connection:
            missing += users_without_id(connection, call.core.store, environment.id, ids, mapping)
        looked_at += len(rows)
        after = rows[-1][0] if len(rows) == AT_ONCE else ""
        if not after:
            break
    return WithoutId(users.described(call, environment, missing), looked_at, after)

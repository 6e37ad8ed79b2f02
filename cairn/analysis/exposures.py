"""What SDKs report of flags they decided."""

from collections.abc import Collection
from datetime import datetime, timedelta

from cairn.query.behaviour import EXPOSURE
from cairn.query.scope import Scope
from cairn.query.time_range import since_day_of
from cairn.store.store import Store

LOOK_BACK = timedelta(days=30)


def last_exposure(
    store: Store, environment_id: int, flag_id: int, campaigns: Collection[int], *, now: datetime
) -> int:
    """Epoch milliseconds of a flag's last exposure in 30 days; 0: none.

    `campaigns`: of its rules, by which SDKs name what they showed. Only a holdout's exposure names the flag.
    """
    scope = Scope(environment_id)
    own = scope.bindings.contains("properties['campaign']", tuple(map(str, campaigns)), "String")
    of_flag = (
        f"properties['feature'] = {scope.bindings.text(str(flag_id))} OR properties['feature'] = '' AND {own}"
    )
    events = scope.events(EXPOSURE, since_day_of(now - LOOK_BACK).clause(scope.bindings), of_flag)
    rows = store.query(scope.statement(f"SELECT toUnixTimestamp64Milli(max(time)) FROM {events}"))
    return int(rows[0][0])

"""What SDKs report of flags they decided."""

from datetime import datetime, timedelta

from cairn.clock import to_ms
from cairn.query.behaviour import EXPOSURE
from cairn.query.scope import Scope
from cairn.query.time_range import day_of_and_later
from cairn.store.store import Store

LOOK_BACK = timedelta(days=30)


def last_exposure(store: Store, environment_id: int, flag_id: int, *, now: datetime) -> int:
    """Epoch milliseconds of a flag's last exposure in 30 days; 0: none."""
    scope = Scope(environment_id)
    of_flag = f"properties['feature'] = {scope.bindings.text(str(flag_id))}"
    events = scope.events(EXPOSURE, day_of_and_later(to_ms(now - LOOK_BACK), scope.bindings), of_flag)
    rows = store.query(scope.statement(f"SELECT toUnixTimestamp64Milli(max(time)) FROM {events}"))
    return int(rows[0][0])

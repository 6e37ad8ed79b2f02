"""What SDKs report of flags they decided."""

from datetime import datetime, timedelta

from cairn.clock import to_ms
from cairn.event import Kind
from cairn.store.schema import DATABASE
from cairn.store.store import Store

LOOK_BACK = timedelta(days=30)


def last_exposure(store: Store, environment_id: int, flag_id: int, *, now: datetime) -> int:
    """Epoch milliseconds of a flag's last exposure in 30 days; 0: none."""
    rows = store.query(
        environment_id,
        f"""
        SELECT toUnixTimestamp64Milli(max(time)) FROM {DATABASE}.events
        WHERE environment_id = {{environment:UInt32}} AND kind = {{exposure:String}}
          AND toDate(time) >= toDate(fromUnixTimestamp64Milli({{since:Int64}}, 'UTC'))
          AND properties['feature'] = {{flag:String}}
        """,
        {"exposure": Kind.EXPOSURE, "since": to_ms(now - LOOK_BACK), "flag": str(flag_id)},
    )
    return int(rows[0][0])

"""Metadata that cannot be written to is the machine's fault: events wait for it, and none is refused."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from tests.ingest.rig import Rig, outcomes


def without_a_table(engine: sa.Engine) -> Callable[[], None]:
    def rename(old: str, new: str) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")

    rename("merges", "merges_elsewhere")
    return lambda: rename("merges_elsewhere", "merges")


def test_events_wait_for_metadata_that_cannot_be_written_to(rig: Rig, environment_id: int) -> None:
    rig.load()
    identify = {"kind": "identify", "name": "", "identity": "ann@shop.test", "merge_user_id": 7}
    rig.send(identify, {"user_id": 7}, environment_id=environment_id)
    repair = without_a_table(rig.engine)
    with pytest.raises(sa.exc.DBAPIError):
        rig.load()
    assert outcomes(rig, environment_id) == []
    repair()
    rig.load()
    assert outcomes(rig, environment_id) == ["stored", "stored"]

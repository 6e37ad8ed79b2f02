"""The tests inside Segment's Python client, run against the collector instead of the vendor's host."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cairn.eventlog.log import EventLog
from tests.collect.conftest import serving
from tests.seams import open_log

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
# contracts/segment.md section 7: it needs an answer that is slower than loopback's.
LEFT_OUT = ("test_should_timeout",)


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    return open_log(tmp_path / "log")


def test_the_clients_own_tests_pass_against_us(log: EventLog) -> None:
    # As Segment answers an unknown write key; one of the tests holds to that.
    with serving(log, unknown_key_status="200") as served:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"),
                *("-p", "segment_host", "--pyargs", "segment.analytics.test"),
                *("-k", " and ".join(f"not {name}" for name in LEFT_OUT)),
                *("--rootdir", str(HERE / "python"), "-c", os.devnull),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=HERE / "python",
            env={**os.environ, "CAIRN_URL": served.url, "PYTHONPATH": str(HERE / "python")},
        )
        answered = len(served.arrivals())
    log.close()
    assert done.returncode == 0, done.stdout[-4000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) >= 130, done.stdout[-500:]
    assert answered >= 20, "they did not reach us"

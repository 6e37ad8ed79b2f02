"""The vendor's unmodified code beside ours, in Node: one process for many cases."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

CLIENTS = Path(__file__).parent.parent / "clients"


def run(script: str, cases: Any, *arguments: str) -> list[Any]:
    """What `clients/node/<script>` makes of each case."""
    if not (CLIENTS / "node_modules" / "@segment" / "destination-subscriptions").exists():
        pytest.skip("run make test-setup")
    done = subprocess.run(
        ["node", CLIENTS / "node" / script, *arguments],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))

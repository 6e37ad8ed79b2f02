"""Compile cairn/wire/capture.proto. Run `python -m tests.wire.generate` after a change of it."""

import subprocess
import sys
import tempfile
from pathlib import Path

WIRE = Path(__file__).parents[2] / "cairn" / "wire"
GENERATED = WIRE / "capture_pb2.py"
HEADER = "# mypy: ignore-errors\n# ruff: noqa\n# fmt: off\n"


def generated() -> str:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{WIRE}",
            f"--python_out={folder}",
            "capture.proto",
        ]
        subprocess.run(command, check=True)
        return HEADER + (Path(folder) / "capture_pb2.py").read_text()


if __name__ == "__main__":
    GENERATED.write_text(generated())

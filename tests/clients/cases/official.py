"""The vendor's official cases and settings documents, as the package that carries them names them."""

import json
import re
from pathlib import Path
from typing import Any

CLIENTS = Path(__file__).parents[1]
PACKAGE = CLIENTS / "node_modules" / "vwo-fme-sdk-e2e-test-settings-n-cases"
DEFAULTS = {"int": 1, "string": "VWO", "float": 1.1, "boolean": False, "json": {}}


def _read(*path: str) -> Any:  # Any: one JSON document
    file = PACKAGE.joinpath("src", *path)
    if not file.exists():
        raise FileNotFoundError(f"{file.name} is missing: run `npm ci` in tests/clients")
    return json.loads(file.read_text())


def documents() -> dict[str, bytes]:
    """Settings documents by the name that cases call them."""
    index = (PACKAGE / "index.js").read_text()
    files = dict(re.findall(r"(\w+):\s*require\(['\"]\./src/settings/(\w+)", index))
    return {
        name: (PACKAGE / "src" / "settings" / f"{file}.json").read_bytes() for name, file in files.items()
    }


def flag_cases() -> dict[str, list[dict[str, Any]]]:
    cases: dict[str, list[dict[str, Any]]] = _read("test-cases", "index.json")
    return cases


def segmentation_cases() -> dict[str, dict[str, Any]]:
    """All 334 by `<group>/<number>`; each with its dsl, its context and what is expected."""
    found: dict[str, dict[str, Any]] = {}
    for group, cases in _read("segmentation-evaluator", "index.json").items():
        listed = cases.values() if isinstance(cases, dict) else cases
        for number, case in enumerate(listed, start=1):
            attributes = dict(case["customVariables"])
            found[f"{group}/{number}"] = {
                "dsl": case["dsl"],
                "context": {"id": attributes.pop("_vwoUserId", "somebody"), "customVariables": attributes},
                "expected": case["expectation"],
            }
    return found

"""Percentiles and the JSON a benchmark prints."""

import json
import math
from collections.abc import Sequence
from typing import Any


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank; NaN for nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "n": len(values),
        "p50": round(percentile(values, 0.5), 1),
        "p95": round(percentile(values, 0.95), 1),
        "p99": round(percentile(values, 0.99), 1),
        "max": round(max(values, default=math.nan), 1),
    }


def against(figure: float, limit: float, unit: str) -> dict[str, Any]:
    """A figure beside its bar; a ratio of 1 or less keeps it."""
    return {
        "figure": round(figure, 3),
        "limit": limit,
        "unit": unit,
        "ratio": round(figure / limit, 3),
        "kept": figure <= limit,
    }


def report(name: str, **figures: Any) -> None:
    print(json.dumps({"bench": name, **figures}, indent=1))

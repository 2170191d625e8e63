"""The bins of calibration and residual plots as rows of a chart."""

from __future__ import annotations

from math import isfinite
from typing import Any

from polytask.record.compare import CompareRecord
from polytask.report.charts.chart import plain

TIPS = {"c": "contender", "x": "predicted", "y": "observed", "n": "test rows"}


def diagnostic_rows(record: CompareRecord, task: str, kind: str) -> list[dict[str, Any]]:
    """One row per contender and bin; bins that are empty or not finite are left out."""
    return [
        {
            "c": diagnostic.contender,
            "x": plain(x, 4),
            "y": plain(y, 4),
            "n": diagnostic.n[i] if i < len(diagnostic.n) else 0,
            "low": plain(diagnostic.low[i], 4) if i < len(diagnostic.low) else None,
            "high": plain(diagnostic.high[i], 4) if i < len(diagnostic.high) else None,
        }
        for diagnostic in record.diagnostics
        if diagnostic.task == task and diagnostic.kind == kind
        for i, (x, y) in enumerate(zip(diagnostic.x, diagnostic.y, strict=False))
        if isfinite(x) and isfinite(y)
    ]

"""Latencies of many calls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def told(seconds: Sequence[float]) -> dict[str, float | int]:
    """Milliseconds; `n` calls."""
    if not seconds:
        return {"n": 0}
    p50, p95, p99 = np.percentile(np.asarray(seconds) * 1000, (50, 95, 99))
    return {
        "n": len(seconds),
        "mean_ms": round(float(np.mean(seconds)) * 1000, 3),
        **{"p50_ms": round(float(p50), 3), "p95_ms": round(float(p95), 3), "p99_ms": round(float(p99), 3)},
    }

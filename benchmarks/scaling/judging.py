"""The claims, from the rows of one series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.scaling.comparing import BASELINES, ORACLE, OURS

LEAST_ACCURATE = 0.90


def judge(rows: Sequence[dict[str, Any]], limit: float, steady: float) -> dict[str, Any]:
    """`fewer`: baselines with more cold starts *and* more idle agent-hours than ours (none and none is no more);
    `lost`: those that are no worse in either. `below_oracle`: those with fewer idle hours than the oracle, which is the
    least with which no task waits.
    """
    by = {row["policy"]: row for row in rows}
    ours = by[OURS]
    fewer, lost = [], []
    least = by[ORACLE]["idle_agent_hours"] if ORACLE in by else 0.0
    for name in BASELINES:
        colds = by[name]["cold_starts"] - ours["cold_starts"]
        idle = by[name]["idle_agent_hours"] - ours["idle_agent_hours"]
        if (colds > 0 or by[name]["cold_starts"] == 0 == ours["cold_starts"]) and idle > 0:
            fewer.append(name)
        elif colds <= 0 and idle <= 0:
            lost.append(name)
    return {
        "series": ours["series"],
        "fewer": fewer,
        "lost": lost,
        "below_oracle": [name for name in BASELINES if by[name]["idle_agent_hours"] < least],
        "fewer_than_every_baseline": len(fewer) == len(BASELINES),
        "spawn_accuracy": ours["spawn_accuracy"],
        "spawn_accuracy_reached": ours["spawn_accuracy"] >= LEAST_ACCURATE,
        "accuracy_limit": round(limit, 4),
        "within_10pct_5min": round(steady, 4),
        "limited_by": "" if ours["spawn_accuracy"] >= LEAST_ACCURATE else _limit(limit, steady),
    }


def _limit(limit: float, steady: float) -> str:
    if limit < LEAST_ACCURATE:
        return f"the rules: with the trace known, cool-down and blocks allow {limit:.0%}"
    return f"foresight: {steady:.0%} of minutes are within 10% of the need five minutes later"

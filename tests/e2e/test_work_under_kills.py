"""Whatever process dies, what was accepted ends well, and no effect happens twice.

The last file of the folder: its fleet is the one of the other tests.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.bench_fleet import BenchFleet
from benchmarks.kill_anywhere import Plan, kill_and_count
from benchmarks.ray_node import RayNode
from tests.support import FULL

KILLS = 40 if FULL else 8
PLAN = Plan(kills=KILLS, seed=20, agents=5, nodes=1, replicas=2, clients=4, pause_s=1.0)


async def test_nothing_accepted_is_lost_and_no_effect_happens_twice(
    fleet: BenchFleet, node: RayNode, effects: Path
) -> None:
    result = await kill_and_count(PLAN, fleet, [node], effects)
    assert result["kills"] == KILLS
    assert result["accepted"] == result["completed"] > 0, result
    assert result["lost"] == 0, result
    assert result["duplicated_effects"] == 0, result
    assert result["missing_effects"] == 0, result
    assert result["open_at_the_end"] == 0, result

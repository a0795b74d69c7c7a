"""One sample a pool, from what is known of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from ossa.contracts.fleet import PoolInfo
from ossa.contracts.scaling import PoolSample
from ossa.fleet.autoscaling.usage import PoolUsage
from ossa.scaling.traffic_book import Traffic


def samples_of(
    at: datetime,
    pools: Sequence[PoolInfo],
    traffic: Mapping[str, Traffic],
    usage: Mapping[str, PoolUsage],
    slots: Mapping[str, float],
) -> list[PoolSample]:
    """Of every pool, also one that nobody asked for anything. `slots`: turns at once an agent."""
    made = []
    for pool in pools:
        seen, used = traffic.get(pool.name, Traffic()), usage.get(pool.name, PoolUsage())
        made.append(
            PoolSample(
                pool=pool.name,
                at=at,
                arrivals=seen.arrivals,
                running=seen.running,
                queued=seen.queued,
                queue_wait_s=seen.queue_wait_s,
                latency_p99_s=seen.latency_p99_s,
                error_rate=seen.error_rate,
                cpu=used.cpu,
                memory=used.memory,
                agents=pool.ready,
                starting=pool.starting,
                slots_per_agent=slots[pool.name],
            )
        )
    return made

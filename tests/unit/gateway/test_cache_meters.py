from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from ray.util import metrics

from ossa.caching.guarded import CacheCounts
from ossa.gateway.metrics import meter_cache
from ossa.resilience.breaker import Breakers


async def test_what_grew_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: Counter[tuple[str, ...]] = Counter()
    rounds = 0

    class Meter:
        def __init__(self, name: str, *_: Any) -> None:
            self.name = name

        def inc(self, value: float, tags: dict[str, str]) -> None:
            told[self.name, *sorted(tags.values())] += int(value)

        def set(self, value: float, tags: dict[str, str]) -> None:
            nonlocal rounds
            rounds += 1
            told[self.name, *sorted(tags.values())] = int(value)

    monkeypatch.setattr(metrics, "Counter", Meter)
    monkeypatch.setattr(metrics, "Gauge", Meter)
    counts = CacheCounts(front_hits=3, misses=1)
    metering = asyncio.create_task(meter_cache("memory", counts, every_s=0))
    while rounds < 3:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0)
    counts.front_hits += 2
    counts.rested += 1
    counts.breakers = Breakers(lambda: 0.0, failures=1, rest_s=1.0)
    counts.breakers.failed("server")
    seen = rounds
    while rounds < seen + 2:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0)
    metering.cancel()
    assert told == {
        ("ossa_cache_hits_total", "front", "memory"): 5,
        ("ossa_cache_misses_total", "memory"): 1,
        ("ossa_cache_errors_total", "memory", "rested"): 1,
        ("ossa_cache_breaker", "memory"): 2,
    }

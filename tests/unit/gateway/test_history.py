"""The loop that ends old tasks."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from ossa.contracts.errors import OssaError
from ossa.contracts.stores import Pruned
from ossa.gateway.extensions import history
from ossa.gateway.extensions.history import HistoryKeeper, HistoryMetrics

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Asked:
    def __init__(self, *, refuses: int = 0) -> None:
        self.before: list[datetime] = []
        self.refuses = refuses

    async def prune(self, *, before: datetime) -> Pruned:
        self.before.append(before)
        if len(self.before) <= self.refuses:
            raise OssaError("not allowed")
        return Pruned(tasks=7, parts=2)


async def test_a_round_prunes_what_is_older_than_kept_and_counts_it() -> None:
    asked, registry = Asked(), CollectorRegistry()
    keeper = HistoryKeeper(asked, HistoryMetrics(registry), keep_days=30, now=lambda: NOW)
    assert await keeper.prune() == Pruned(tasks=7, parts=2)
    assert asked.before == [NOW - timedelta(days=30)]
    assert registry.get_sample_value("ossa_history_pruned_tasks_total") == 7
    assert registry.get_sample_value("ossa_history_dropped_parts_total") == 2
    assert registry.get_sample_value("ossa_history_pruned_timestamp_seconds") == NOW.timestamp()


async def test_a_round_that_fails_is_counted_and_the_next_one_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "AGAIN_AFTER_S", 0.0)
    asked, registry = Asked(refuses=2), CollectorRegistry()
    keeping = asyncio.create_task(HistoryKeeper(asked, HistoryMetrics(registry), keep_days=30).run_forever())
    async with asyncio.timeout(10):
        while not registry.get_sample_value("ossa_history_pruned_tasks_total"):  # noqa: ASYNC110
            await asyncio.sleep(0)
    keeping.cancel()
    assert registry.get_sample_value("ossa_history_failures_total") == 2

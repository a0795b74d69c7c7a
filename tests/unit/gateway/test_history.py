"""The loop that ends old tasks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry

from ossa.contracts.stores import Pruned
from ossa.gateway.history import HistoryKeeper, HistoryMetrics

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Asked:
    def __init__(self) -> None:
        self.before: list[datetime] = []

    async def prune(self, *, before: datetime) -> Pruned:
        self.before.append(before)
        return Pruned(tasks=7, parts=2)


async def test_a_round_prunes_what_is_older_than_kept_and_counts_it() -> None:
    asked, registry = Asked(), CollectorRegistry()
    keeper = HistoryKeeper(asked, HistoryMetrics(registry), keep_days=30, now=lambda: NOW)
    assert await keeper.prune() == Pruned(tasks=7, parts=2)
    assert asked.before == [NOW - timedelta(days=30)]
    assert registry.get_sample_value("ossa_history_pruned_tasks_total") == 7
    assert registry.get_sample_value("ossa_history_dropped_parts_total") == 2
    assert registry.get_sample_value("ossa_history_pruned_timestamp_seconds") == NOW.timestamp()

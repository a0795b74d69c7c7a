"""Ended tasks do not stay for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from ossa.contracts.errors import OssaError
from ossa.contracts.stores import HistoryStore, Pruned
from ossa.gateway.core import GatewayCore
from ossa.gateway.hooks import Extension
from ossa.observability import MetricGroup, counter, gauge

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 600.0
AGAIN_AFTER_S = 60.0
"""Where a round failed."""


class HistoryMetrics(MetricGroup):
    """Metrics of one replica; the sum over all is the fleet's."""

    tasks = counter("ossa_history_pruned_tasks_total", "Ended tasks removed for their age")
    parts = counter("ossa_history_dropped_parts_total", "Weeks of history dropped whole")
    failures = counter("ossa_history_failures_total", "Rounds that failed")
    pruned_at = gauge("ossa_history_pruned_timestamp_seconds", "End of the last whole round")


class HistoryKeeper:
    """A loop of each replica. The store lets one of them at it at a time.

    Args:
        keep_days: after its end a task stays so long.
    """

    def __init__(
        self,
        history: HistoryStore,
        metrics: HistoryMetrics,
        *,
        keep_days: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._history = history
        self._metrics = metrics
        self._keep = timedelta(days=keep_days)
        self._now = now

    async def run_forever(self) -> None:
        """For ever. What cannot be pruned now is pruned later: nothing waits for it."""
        while True:
            try:
                await self.prune()
            except OssaError as error:
                logger.warning("history_not_pruned", extra={"reason": error.message})
                self._metrics.failures.inc()
                await asyncio.sleep(AGAIN_AFTER_S)
            else:
                await asyncio.sleep(LOOK_EVERY_S)

    async def prune(self) -> Pruned:
        """One round."""
        pruned = await self._history.prune(before=self._now() - self._keep)
        self._metrics.tasks.inc(pruned.tasks)
        self._metrics.parts.inc(pruned.parts)
        self._metrics.pruned_at.set(self._now().timestamp())
        if pruned.tasks or pruned.parts:
            logger.info("history_pruned", extra={"tasks": pruned.tasks, "parts": pruned.parts})
        return pruned


def extension(core: GatewayCore, *, keep_days: float) -> Extension:
    """Removes ended tasks `keep_days` after their end."""
    keeper = HistoryKeeper(core.stores.history, core.metrics.group(HistoryMetrics), keep_days=keep_days)
    return Extension("history", service=keeper, loops={"history": keeper.run_forever})

"""Counters of what has happened, counted from facts: each fact by one replica, whoever wrote it.

What ends without any replica's doing (a queued task that is cancelled, a task whose owner dies after the write) is
counted like all else. A replica that dies may leave facts that it counted and did not note: the next one counts them
again, for Prometheus beside the old replica's last value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ossa.contracts.events import Event
from ossa.contracts.facts import TaskFinished, TaskStep
from ossa.events.consumer import Consumer
from ossa.gateway.core import GatewayCore
from ossa.gateway.extensions.vortex import VortexMetrics
from ossa.gateway.hooks import Extension
from ossa.gateway.metrics import GatewayMetrics

GROUP = "metrics"
SHARDS = 8
"""Replicas above this number do not count."""

_LOST = "agent_lost"


class FactCounters:
    """Counts ended tasks, their tokens and cost, and turns whose agent was lost."""

    def __init__(self, metrics: GatewayMetrics) -> None:
        self._metrics = metrics
        self._vortex = metrics.group(VortexMetrics)

    async def count(self, event: Event) -> None:
        if event.type == TaskFinished.TYPE:
            self._ended(event.data)
        elif event.data.get("kind") == "takeover":
            self._metrics.takeovers.inc()

    def _ended(self, data: Mapping[str, Any]) -> None:
        pool = data.get("pool") or ""
        usage = data.get("usage") or {}
        self._metrics.tasks.labels(data["status"], pool).inc()
        self._metrics.tokens.labels("prompt", pool).inc(_amount(usage, "prompt_tokens"))
        self._metrics.tokens.labels("completion", pool).inc(_amount(usage, "completion_tokens"))
        self._metrics.cost.labels(pool).inc(_amount(usage, "cost_usd"))
        self._vortex.saved.labels(pool).inc(_amount(usage, "saved_tokens"))
        if data.get("error") == _LOST:  # the last loss of a task that is given up is no step of it
            self._metrics.takeovers.inc()


def _amount(usage: Mapping[str, Any], name: str) -> float:
    return max(0.0, usage.get(name) or 0.0)


def extension(core: GatewayCore) -> Extension:
    """Counts from the fact log; the replicas share its facts."""
    counters = FactCounters(core.metrics)
    consumer = Consumer(counters.count, types=(TaskFinished.TYPE, TaskStep.TYPE), shards=SHARDS)
    return Extension("fact-metrics", service=counters, consumers={GROUP: consumer})

"""Queues and the reports about them, as Prometheus sees them."""

from __future__ import annotations

from collections.abc import Mapping

from ossa.gateway.metrics import POOLS
from ossa.observability import MetricGroup, counter, gauge, histogram

WAIT_BUCKETS_S = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900)


class TrafficMetrics(MetricGroup):
    wait = histogram(
        "ossa_gateway_queue_wait_seconds",
        "Until a turn began, by the pool of its agent",
        buckets=WAIT_BUCKETS_S,
        pool=POOLS,
    )
    waiting = gauge("ossa_gateway_waiting_turns", "Turns here that wait for an agent; * is auto", pool=POOLS)
    reports = counter("ossa_gateway_traffic_reports_total", "To the scaler, by outcome", outcome=("sent", "failed"))

    def show_waiting(self, waiting: Mapping[str, int]) -> None:
        self.waiting.clear()
        for pool, count in waiting.items():
            self.waiting.labels(pool).set(count)

"""Queues and the reports about them, as Prometheus sees them."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

WAIT_BUCKETS_S = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900)


class TrafficMetrics:
    """On a replica's registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        r = registry
        self.wait = Histogram(
            "ossa_gateway_queue_wait_seconds", "Until a turn began, by the pool of its agent", ("pool",),
            buckets=WAIT_BUCKETS_S, registry=r,
        )  # fmt: skip
        self.waiting = Gauge(
            "ossa_gateway_waiting_turns", "Turns here that wait for an agent; * is auto", ("pool",), registry=r
        )
        self.reports = Counter(
            "ossa_gateway_traffic_reports_total", "To the scaler, by outcome", ("outcome",), registry=r
        )

    def show_waiting(self, waiting: Mapping[str, int]) -> None:
        self.waiting.clear()
        for pool, count in waiting.items():
            self.waiting.labels(pool).set(count)

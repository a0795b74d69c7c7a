"""Merges the traffic reports of all gateway replicas by pool."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ossa.contracts.scaling import PoolTraffic, TrafficReport

SILENT_S = 25.0
"""A replica without a report for this long is gone."""

ERRORS_OVER_S = 60.0
FEWEST_ENDED = 10
"""With fewer ended turns in that time, the share of failed ones is unknown."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """One pool's traffic since the last call. `PoolSample` explains the fields."""

    arrivals: int = 0
    running: float = 0.0
    queued: int = 0
    queue_wait_s: float | None = None
    latency_p99_s: float | None = None
    error_rate: float | None = None


@dataclass(slots=True)
class _Replica:
    at_s: float
    last: TrafficReport
    fresh: list[TrafficReport] = field(default_factory=list)


class TrafficBook:
    """Collects reports. Times are the caller's monotonic seconds."""

    def __init__(self) -> None:
        self._replicas: dict[str, _Replica] = {}
        self._ends: dict[str, deque[tuple[float, int, int]]] = defaultdict(deque)

    def add(self, report: TrafficReport, now_s: float) -> None:
        replica = self._replicas.setdefault(report.replica, _Replica(now_s, report))
        replica.at_s, replica.last = now_s, report
        replica.fresh.append(report)
        for pool in report.pools:
            self._ends[pool.pool].append((now_s, pool.ended, pool.failed))

    def take(self, now_s: float) -> dict[str, Traffic] | None:
        """Returns traffic by pool since the last call; None if no replica has reported lately.

        A replica whose next report is still on its way counts with what ran and waited last.
        """
        self._replicas = {name: one for name, one in self._replicas.items() if now_s - one.at_s <= SILENT_S}
        if not self._replicas:
            return None
        fresh: dict[str, list[PoolTraffic]] = defaultdict(list)
        running: dict[str, float] = defaultdict(float)
        queued: dict[str, int] = defaultdict(int)
        for replica in self._replicas.values():
            reports = replica.fresh or [replica.last]
            seconds = sum(report.seconds for report in reports)
            for pool in _pools(reports):
                running[pool.pool] += pool.running_s / seconds
            for pool in _pools(replica.fresh):
                fresh[pool.pool].append(pool)
            for pool in replica.last.pools:
                queued[pool.pool] += pool.queued
            replica.fresh = []
        return {
            name: Traffic(
                arrivals=sum(one.arrivals for one in fresh[name]),
                running=running[name],
                queued=queued[name],
                queue_wait_s=quantile([wait for one in fresh[name] for wait in one.waits_s], 0.95),
                latency_p99_s=quantile([took for one in fresh[name] for took in one.turns_s], 0.99),
                error_rate=self._error_rate(name, now_s),
            )
            for name in running.keys() | queued.keys()
        }

    def _error_rate(self, pool: str, now_s: float) -> float | None:
        ends = self._ends[pool]
        while ends and now_s - ends[0][0] > ERRORS_OVER_S:
            ends.popleft()
        ended = sum(end[1] for end in ends)
        return sum(end[2] for end in ends) / ended if ended >= FEWEST_ENDED else None


def quantile(values: Sequence[float], share: float) -> float | None:
    """Returns the smallest value that `share` of them do not exceed; None without values."""
    if not values:
        return None
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def _pools(reports: Iterable[TrafficReport]) -> Iterable[PoolTraffic]:
    return (pool for report in reports for pool in report.pools)

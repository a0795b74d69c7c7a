"""What this replica tells the scaler, again and again."""

from __future__ import annotations

import asyncio
import logging
import secrets

from ossa.contracts.errors import NotReady, OssaError, StoreUnavailable
from ossa.contracts.stores import Backlog
from ossa.gateway.core import GatewayCore
from ossa.gateway.extensions.traffic.meter import TrafficMeter, TrafficMetrics

logger = logging.getLogger(__name__)

ANSWER_S = 3.0
"""The journal and the fleet may each take so long."""


class TrafficReports:
    """A chore of the dispatcher. What goes wrong here is counted, and hurts nobody.

    Args:
        core: gives the journal, the fleet, and the owners under which this replica holds leases. The replica's name in
            reports gets a random part, for process ids are not unique.
    """

    def __init__(self, meter: TrafficMeter, core: GatewayCore, metrics: TrafficMetrics, *, every_s: float) -> None:
        self.replica = f"{core.replica}-{secrets.token_hex(4)}"
        self._meter = meter
        self._core = core
        self._metrics = metrics
        self._every_s = every_s

    async def run_forever(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(self._every_s)
            await self.tell()

    async def tell(self) -> None:
        """One report. What one that fails would have told is lost: it would be old when the next one comes."""
        try:
            index = self._core.index()
        except NotReady:  # nobody to tell it to
            return
        report = self._meter.report(self.replica, index, await self._backlog())
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._core.fleet.report_traffic(report)
        except (OssaError, TimeoutError) as error:
            logger.info("traffic_report_failed", extra={"reason": str(error)})
            self._metrics.reports.labels("failed").inc()
        except Exception:
            logger.exception("traffic_report_failed")
            self._metrics.reports.labels("failed").inc()
        else:
            self._metrics.reports.labels("sent").inc()

    async def _backlog(self) -> list[Backlog]:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._core.stores.journal.backlog(owners=[lease.owner for lease in self._core.leases.all])
        except (StoreUnavailable, TimeoutError):
            self._core.metrics.journal_errors.labels("backlog").inc()
            return []

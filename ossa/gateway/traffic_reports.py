"""What this replica tells the scaler, again and again."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence

from ossa.contracts.errors import NotReady, OssaError, StoreUnavailable
from ossa.contracts.fleet import FleetPort
from ossa.contracts.stores import Backlog, Journal
from ossa.gateway.metrics import GatewayMetrics
from ossa.gateway.traffic import TrafficMeter
from ossa.routing import FleetIndex

logger = logging.getLogger(__name__)

ANSWER_S = 3.0
"""The journal and the fleet may each take so long."""


class TrafficReports:
    """A chore of the dispatcher. What goes wrong here is counted, and hurts nobody.

    Args:
        name: begins the replica's name in its reports; a random part is added, for process ids are not unique.
        index: raises `NotReady` before the fleet is known.
        owners: under which this replica holds leases on the journal.
    """

    def __init__(
        self,
        meter: TrafficMeter,
        *,
        journal: Journal,
        fleet: FleetPort,
        metrics: GatewayMetrics,
        name: str,
        index: Callable[[], FleetIndex],
        owners: Callable[[], Sequence[str]],
        every_s: float,
    ) -> None:
        self.replica = f"{name}-{secrets.token_hex(4)}"
        self._meter = meter
        self._journal = journal
        self._fleet = fleet
        self._metrics = metrics
        self._index = index
        self._owners = owners
        self._every_s = every_s

    async def run_forever(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(self._every_s)
            await self.tell()

    async def tell(self) -> None:
        """One report. What one that fails would have told is lost: it would be old when the next one comes."""
        try:
            index = self._index()
        except NotReady:  # nobody to tell it to
            return
        report = self._meter.report(self.replica, index, await self._backlog())
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._fleet.report_traffic(report)
        except (OssaError, TimeoutError) as error:
            logger.info("traffic_report_failed", extra={"reason": str(error)})
            self._metrics.traffic.reports.labels("failed").inc()
        except Exception:
            logger.exception("traffic_report_failed")
            self._metrics.traffic.reports.labels("failed").inc()
        else:
            self._metrics.traffic.reports.labels("sent").inc()

    async def _backlog(self) -> list[Backlog]:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._journal.backlog(owners=self._owners())
        except (StoreUnavailable, TimeoutError):
            self._metrics.journal_errors.labels("backlog").inc()
            return []

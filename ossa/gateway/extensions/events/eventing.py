"""Events in a gateway replica: retention of the fact log, the export to Kafka, what is measured, and the status."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

from ossa.contracts.configuration import EventSettings
from ossa.contracts.errors import OssaError, StoreUnavailable
from ossa.contracts.events import ConsumerStatus, EventBus, EventStatus
from ossa.events.log_bus import LogBus
from ossa.events.publisher import LogMetrics, Publisher, PublisherMetrics, export_status, measure
from ossa.gateway.extensions.events.stream import FactStreams
from ossa.gateway.metrics import GatewayMetrics

logger = logging.getLogger(__name__)

_PRUNE_EVERY_S = 1800.0
_MEASURE_EVERY_S = 5.0


class Eventing:
    """Without a bus facts stay in the log.

    Args:
        settings: those that the stores were made with.
    """

    def __init__(self, log: LogBus, bus: EventBus | None, settings: EventSettings, metrics: GatewayMetrics) -> None:
        self.streams = FactStreams(log.log)
        self._log = log
        self._bus = bus
        self._settings = settings
        self._log_metrics = metrics.group(LogMetrics)
        self._metrics = metrics.group(PublisherMetrics) if bus is not None else None
        self._publisher: Publisher | None = None
        if bus is not None and self._metrics is not None:
            self._publisher = Publisher(log, bus, metrics=self._metrics)

    def loops(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """Keep the log, measure it, and publish where no other replica does."""
        loops: dict[str, Callable[[], Awaitable[None]]] = {
            "facts-retention": self._prune_forever,
            "facts-measure": self._measure_log,
        }
        if self._publisher is not None:
            loops |= {"events": self._publisher.run_forever, "events-measure": self._measure_export}
        return loops

    async def status(self) -> EventStatus:
        """Raises `StoreUnavailable` where the fact log cannot be read; Kafka may be away."""
        consumers = tuple(await self._consumers())
        publisher, bus = self._publisher, self._bus
        if publisher is None or bus is None:
            return EventStatus(telling=False, consumers=consumers)
        groups: dict[str, int] = {}
        trouble = publisher.trouble
        try:
            for group in self._settings.groups:
                groups[group] = sum(partition.waiting for partition in await bus.lag(group))
        except StoreUnavailable as error:
            trouble = trouble or error.message
        return EventStatus(
            telling=True,
            outbox=await export_status(self._log.log, now=datetime.now(UTC)),
            bus=bus.status,
            leading=publisher.leading,
            published=publisher.published,
            trouble=trouble,
            groups=groups,
            consumers=consumers,
        )

    async def close(self, _within_s: float = 0.0) -> None:
        self.streams.stop()
        if self._bus is not None:
            await self._bus.close()

    async def _consumers(self) -> list[ConsumerStatus]:
        positions = await self._log.log.positions()
        status = []
        for group in sorted({position.group for position in positions}):
            shares = [position for position in positions if position.group == group]
            status.append(
                ConsumerStatus(
                    group=group,
                    shards=len(shares),
                    members=len({share.owner for share in shares if share.owner}),
                    waiting=await self._log.log.count(min(share.offset for share in shares)),
                )
            )
        return status

    async def _prune_forever(self) -> None:
        days = max(self._settings.retention_days, self._settings.outbox_days)
        while True:
            try:
                parts = await self._log.log.prune(before=datetime.now(UTC) - timedelta(days=days))
                if parts:
                    logger.info("facts_removed", extra={"parts": parts, "older_than_days": days})
            except OssaError as error:
                logger.warning("facts_not_removed", extra={"reason": error.message})
            await asyncio.sleep(_PRUNE_EVERY_S)

    async def _measure_log(self) -> None:
        while True:
            try:
                for status in await self._consumers():
                    self._log_metrics.waiting.labels(status.group).set(status.waiting)
            except OssaError as error:
                logger.debug("facts_not_measured", extra={"reason": error.message})
            await asyncio.sleep(_MEASURE_EVERY_S)

    async def _measure_export(self) -> None:
        assert self._bus is not None and self._metrics is not None
        await measure(self._log.log, self._bus, self._metrics, groups=self._settings.groups)

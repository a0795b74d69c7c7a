"""Events in a gateway replica: the publisher, what it measures, and how it stands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from ossa.contracts.configuration import EventSettings
from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.events import EventBus, EventOutbox, EventStatus
from ossa.events.publisher import Publisher, PublisherMetrics, measure
from ossa.gateway.metrics import GatewayMetrics

_DAY_S = 86_400.0


class Eventing:
    """Without a bus the journal tells nothing, and there is nothing to do.

    Args:
        settings: those that the stores were made with.
    """

    def __init__(
        self, outbox: EventOutbox, bus: EventBus | None, settings: EventSettings, metrics: GatewayMetrics
    ) -> None:
        self._outbox = outbox
        self._bus = bus
        self._settings = settings
        self._metrics = metrics.group(PublisherMetrics) if bus is not None else None
        self._publisher: Publisher | None = None
        if bus is not None and self._metrics is not None:
            self._publisher = Publisher(outbox, bus, metrics=self._metrics, keep_s=settings.outbox_days * _DAY_S)

    def loops(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """Publish, where no other replica does; and measure."""
        publisher = self._publisher
        return {} if publisher is None else {"events": publisher.run_forever, "events-measure": self._measure}

    async def status(self) -> EventStatus:
        """Raises `StoreUnavailable` where the outbox cannot be read; the bus may be away."""
        publisher, bus = self._publisher, self._bus
        outbox = await self._outbox.status()
        if publisher is None or bus is None:
            return EventStatus(telling=False, outbox=outbox)
        groups: dict[str, int] = {}
        trouble = publisher.trouble
        try:
            for group in self._settings.groups:
                groups[group] = sum(one.waiting for one in await bus.lag(group))
        except StoreUnavailable as error:
            trouble = trouble or error.message
        return EventStatus(
            telling=True,
            outbox=outbox,
            bus=bus.status,
            leading=publisher.leading,
            published=publisher.published,
            trouble=trouble,
            groups=groups,
        )

    async def close(self, _within_s: float = 0.0) -> None:
        if self._bus is not None:
            await self._bus.close()

    async def _measure(self) -> None:
        assert self._bus is not None and self._metrics is not None
        await measure(self._outbox, self._bus, self._metrics, groups=self._settings.groups)

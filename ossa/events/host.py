"""Runs consumers of the fact log in a gateway replica, each in a loop of its own: a slow one delays no other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from ossa.contracts.events import Subscription
from ossa.events.consumer import Consumer, DuplicateFilter, EventConsumer, Handle
from ossa.events.log_bus import LogBus
from ossa.events.publisher import ConsumerMetrics

_RECENT = 5_000
"""Ids that a group remembers: a position is lost only where a process or PostgreSQL dies."""


def consumer_loops(
    log: LogBus, consumers: Mapping[str, Handle | Consumer], *, metrics: ConsumerMetrics
) -> dict[str, Callable[[], Awaitable[None]]]:
    """Returns a loop for each group, by name. Each replica runs all; shares of a group are divided among them."""
    return {f"consumer-{group}": _loop(log, group, consumer, metrics) for group, consumer in consumers.items()}


def _loop(
    log: LogBus, group: str, consumer: Handle | Consumer, metrics: ConsumerMetrics
) -> Callable[[], Awaitable[None]]:
    given = consumer if isinstance(consumer, Consumer) else Consumer(consumer)

    duplicates = DuplicateFilter(group, recent=_RECENT)

    async def subscribe() -> Subscription:
        subscription = await log.subscribe(group, shards=given.shards, tasks=given.wants_tasks, newest=given.newest)
        subscription.on_seek = duplicates.forget_recent
        return subscription

    return EventConsumer(
        log,
        group,
        given,
        metrics=metrics,
        duplicates=duplicates,
        subscribe=subscribe,
    ).run

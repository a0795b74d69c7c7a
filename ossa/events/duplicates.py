"""Events that come again, and how they are known."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from ossa.contracts.events import Event, ProcessedEvents

RECENT = 100_000


class DuplicateFilter:
    """Remembers what one consumer was done with: the last ones here, and all of them where there is a store.

    Without a store a process that starts anew knows nothing: what its predecessor handled and did not commit is handled
    again. With one, that is left only of events whose handler was done when the process died, before they were added;
    a handler that must not do them twice keeps the event's id in the transaction of its own effect.

    Args:
        recent: ids kept in memory.
        processed: shared by all processes of the consumer.
    """

    def __init__(self, consumer: str, *, recent: int = RECENT, processed: ProcessedEvents | None = None) -> None:
        self._consumer = consumer
        self._most = recent
        self._recent: OrderedDict[str, None] = OrderedDict()
        self._processed = processed

    async def known(self, events: Iterable[Event]) -> set[str]:
        """Keys (`key_of`) of those that were added. Raises `StoreUnavailable`."""
        keys = {key_of(event) for event in events}
        found = {key for key in keys if key in self._recent}
        rest = list(keys - found)
        if rest and self._processed is not None:
            found |= await self._processed.known(self._consumer, rest)
        return found

    async def add(self, keys: Sequence[str]) -> None:
        """They are dealt with. Raises `StoreUnavailable`."""
        if keys and self._processed is not None:
            await self._processed.add(self._consumer, keys)
        for key in keys:
            self._recent[key] = None
        while len(self._recent) > self._most:
            self._recent.popitem(last=False)

    async def forget(self, *, older_than_s: float) -> int:
        """In the store; raises `StoreUnavailable`."""
        if self._processed is None:
            return 0
        return await self._processed.prune(before=datetime.now(UTC) - timedelta(seconds=older_than_s))


def key_of(event: Event) -> str:
    """CloudEvents: source and id together name an event."""
    return f"{event.source} {event.id}"

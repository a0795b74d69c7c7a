"""Facts as server-sent events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import monotonic

import orjson

from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.events import Event, FactLog
from ossa.events.reading import FactFilter, cursor_of, follow
from ossa.resilience.server_sent import encode_event

KEEP_ALIVE_S = 15.0
LASTS_S = 600.0
"""A stream ends after this time: a key that was revoked, or a replica that stops, is not held for ever. Clients go on
with the last id.
"""

_LOOK_S = 1.0
_GATHER_S = 0.02
_AGAIN_S = 1.0
_RETRY = b"retry: 1000\n\n"

logger = logging.getLogger(__name__)


class FactStreams:
    """All streams of one replica: they end together when it stops."""

    def __init__(self, log: FactLog, *, keep_alive_s: float = KEEP_ALIVE_S, lasts_s: float = LASTS_S) -> None:
        self._log = log
        self._keep_alive_s = keep_alive_s
        self._lasts_s = lasts_s
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """End all streams within a second."""
        self._stopped.set()

    async def stream(self, wanted: FactFilter, after: int, *, limit: int | None) -> AsyncGenerator[bytes]:
        """Facts from the offset on; each has the cursor to go on from as its id. It waits for a log that is away."""
        ends, spoke, left = monotonic() + self._lasts_s, monotonic(), limit
        yield _RETRY
        while left != 0 and not self._over(ends):
            try:
                async with aclosing(follow(self._log, wanted, after, within_s=_LOOK_S)) as facts:
                    async for after, fact in facts:
                        if fact is not None:
                            yield _encoded(fact, after)
                            spoke, left = monotonic(), left if left is None else left - 1
                        elif monotonic() - spoke >= self._keep_alive_s:
                            # An id without data: who reconnects goes on from here, and sees nothing of it otherwise.
                            yield b"id: %b\n: keep-alive\n\n" % cursor_of(after).encode()
                            spoke = monotonic()
                        if left == 0 or self._over(ends):
                            return
                        if fact is None:
                            await asyncio.sleep(_GATHER_S)
            except StoreUnavailable as error:
                logger.debug("facts_not_streamed", extra={"reason": error.message})
                await asyncio.sleep(_AGAIN_S)

    def _over(self, ends: float) -> bool:
        return self._stopped.is_set() or monotonic() >= ends


def _encoded(event: Event, offset: int) -> bytes:
    return encode_event(orjson.dumps(event.model_dump(mode="json")), id=cursor_of(offset))

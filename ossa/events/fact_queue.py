"""Facts on their way to the log, for who must not wait for it."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from dataclasses import replace
from itertools import islice

from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.events import Fact, FactLog
from ossa.contracts.origin import apart, current_origin
from ossa.resilience.backoff import Backoff

log = logging.getLogger(__name__)

MOST_WAITING = 20_000
MOST_AT_ONCE = 1_000
GATHER_S = 0.02
"""Facts that come together are written together: 200 agents that are ready at once make a row or two."""

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0


class FactQueue:
    """Tells facts in their order, in the background, and again while the log is away.

    What comes while `MOST_WAITING` facts wait, and what the log refuses, is dropped, counted and logged.
    """

    def __init__(self, facts: FactLog) -> None:
        self._facts = facts
        self._waiting: deque[Fact] = deque()
        self._teller: asyncio.Task[None] | None = None
        self.dropped = 0
        """Facts that were not told."""

    def put(self, fact: Fact) -> None:
        """Adds a fact; it keeps the current origin where it has none of its own. Never waits."""
        if len(self._waiting) >= MOST_WAITING:
            self._drop(1, "the fact log was away for too long")
            return
        named = fact if fact.name else replace(fact, name=secrets.token_hex(8))
        self._waiting.append(named if fact.origin is not None else replace(named, origin=current_origin()))
        if self._teller is None or self._teller.done():
            self._teller = asyncio.create_task(self._tell(), context=apart())

    async def settle(self, timeout_s: float) -> bool:
        """Waits until all is told; False when something is left after `timeout_s` seconds."""
        if self._teller is not None:
            await asyncio.wait([self._teller], timeout=timeout_s)
        return not self._waiting

    def close(self) -> None:
        """Stops telling: what waits is lost."""
        if self._teller is not None:
            self._teller.cancel()

    async def _tell(self) -> None:
        await asyncio.sleep(GATHER_S)
        backoff = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S, jitter=0.5)
        while self._waiting:
            batch = list(islice(self._waiting, MOST_AT_ONCE))
            try:
                await self._facts.tell(batch)
            except StoreUnavailable as error:
                log.warning("facts_wait", extra={"facts": len(self._waiting), "reason": error.message[:200]})
                await backoff.pause()
                continue
            except Exception as error:  # what the log cannot hold must not keep the rest from it
                log.exception("facts_refused")
                self._drop(len(batch), f"{type(error).__name__}: {error}"[:200])
            backoff.reset()
            for _ in batch:
                self._waiting.popleft()

    def _drop(self, count: int, reason: str) -> None:
        self.dropped += count
        log.error("facts_dropped", extra={"facts": count, "dropped": self.dropped, "reason": reason})

"""The answer cache as a service: an index that is opened and closed, and swept of what is too old."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import time

from ossa.contracts.answers import AnswerCounters, Answered, Asked, Hit, Refusal
from ossa.contracts.configuration import AnswerSettings
from ossa.contracts.errors import OssaError
from ossa.contracts.vectors import VectorIndex
from ossa.vortex.answers.cache import AnswerCache, Vectorise

log = logging.getLogger(__name__)

SWEEP_S = 300.0


class AnswerService:
    """`start` opens the index and begins the sweeping; `stop` ends both."""

    def __init__(
        self,
        index: VectorIndex,
        settings: AnswerSettings,
        *,
        vectorise: Vectorise,
        now: Callable[[], float] = time,
        sweep_s: float = SWEEP_S,
    ) -> None:
        self._index = index
        self._cache = AnswerCache(index, settings, vectorise=vectorise, now=now)
        self._vectorise = vectorise
        self._sweep_s = sweep_s
        self._sweeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises `StoreUnavailable`, `Conflict`."""
        await self._index.open()
        self._vectorise("the first one loads the vectors")
        self._sweeping = asyncio.create_task(self._sweep_for_ever(), name="answers-sweep")

    async def stop(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        await self._index.close()

    async def look_up(self, asked: Asked) -> Hit | None:
        return await self._cache.look_up(asked)

    async def keep(self, asked: Asked, answered: Answered) -> Refusal | None:
        return await self._cache.keep(asked, answered)

    async def forget(self, tenant: str, *, agent: str | None = None, document: str | None = None) -> int:
        return await self._cache.forget(tenant, agent=agent, document=document)

    def counters(self) -> AnswerCounters:
        return self._cache.counters

    async def _sweep_for_ever(self) -> None:
        while True:
            try:
                swept = await self._cache.sweep()
            except OssaError as error:
                log.warning("answers_not_swept", extra={"reason": str(error)[:200]})
            except Exception:
                log.exception("sweeping_answers_failed")
            else:
                if swept:
                    log.info("answers_swept", extra={"count": swept})
            await asyncio.sleep(self._sweep_s)

"""The answer cache by its side-car: an answer in time, or none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

from ossa.contracts.answers import AnswerCounters, Answered, Asked, Hit, Refusal
from ossa.contracts.configuration import AnswerSettings
from ossa.resilience.breaker import Breakers

log = logging.getLogger(__name__)

FAILURES_IN_A_ROW = 3
REST_S = 5.0
"""After so many failures nobody is asked for so long: a service that is away costs requests no deadline."""

_SERVICE = "answers"


class RemoteAnswers:
    """`ossa.contracts.answers.Answers`, by the side-car.

    A look-up that takes longer than the settings' `deadline_s`, or fails, is a miss; `failures` counts those.
    """

    def __init__(self, service: Any, settings: AnswerSettings, *, clock: Callable[[], float] = monotonic) -> None:
        self.failures = 0
        self._service = service
        self._settings = settings
        self._breakers = Breakers(clock, failures=FAILURES_IN_A_ROW, rest_s=REST_S)

    async def look_up(self, asked: Asked) -> Hit | None:
        if not self._settings.take(asked.tenant, asked.agent) or not self._breakers.admit(_SERVICE):
            return None
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                hit: Hit | None = await self._service.look_up(asked)
        except Exception as error:  # noqa: BLE001 - whatever it is, the request goes on without the cache
            self._note_failure(error)
            return None
        except BaseException:
            self._breakers.gave_up(_SERVICE)
            raise
        self._breakers.succeeded(_SERVICE)
        return hit

    async def keep(self, asked: Asked, answered: Answered) -> Refusal | None:
        if not self._settings.take(asked.tenant, asked.agent):
            return "not_opted_in"
        if _SERVICE in self._breakers.open():
            return "unavailable"
        try:
            reason: Refusal | None = await self._service.keep(asked, answered)
        except Exception as error:  # noqa: BLE001 - the answer is on its way already
            self._note_failure(error)
            return "unavailable"
        return reason

    async def forget(self, tenant: str, *, agent: str | None = None, document: str | None = None) -> int:
        """Raises `StoreUnavailable`, `NotReady`."""
        return int(await self._service.forget(tenant, agent=agent, document=document))

    async def counters(self) -> AnswerCounters:
        """Raises `NotReady`."""
        counters: AnswerCounters = await self._service.counters()
        return counters

    def _note_failure(self, error: Exception) -> None:
        self.failures += 1
        if self._breakers.failed(_SERVICE):
            log.warning("answer_cache_away", extra={"reason": str(error)[:200] or type(error).__name__})

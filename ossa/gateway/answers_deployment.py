"""The Serve deployment `answers`, which owns the answer cache's index, and the gateway's way to it.

A fleet whose settings do not enable the cache has no such deployment, and its gateways no way: they pay nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from ossa.contracts.answers import AnswerCounters, Answered, Asked, Hit, Refusal
from ossa.contracts.configuration import AnswerSettings
from ossa.contracts.errors import NotReady, OssaError

if TYPE_CHECKING:
    from ossa.vortex.answers.cache import AnswerCache

log = logging.getLogger(__name__)

DEPLOYMENT = "answers"
ONGOING = 256
CALL_S = 10.0
"""For what is not on a request's path."""

FAILURES_IN_A_ROW = 3
REST_S = 5.0
"""After so many failures nobody is asked for so long: a service that is away costs requests no deadline."""

MakeAnswers = Callable[[], Awaitable["AnswerCache"]]


class AnswersReplica:
    """The one owner of the index. It needs no orderly end: the engine's log has every write."""

    async def __init__(self, make_service: MakeAnswers) -> None:  # type: ignore[misc]
        self._service = await make_service()
        await self._service.start()

    async def look_up(self, asked: Asked) -> Hit | None:
        return await self._service.look_up(asked)

    async def keep(self, asked: Asked, answered: Answered) -> Refusal | None:
        return await self._service.keep(asked, answered)

    async def forget(self, tenant: str, agent: str | None, document: str | None) -> int:
        return await self._service.forget(tenant, agent=agent, document=document)

    async def counters(self) -> AnswerCounters:
        return self._service.counters


def answers_application(make_service: MakeAnswers) -> serve.Application:
    """`make_service` is pickled, and called on the replica's loop."""
    options: dict[str, Any] = {
        "name": DEPLOYMENT,
        "num_replicas": 1,
        "max_ongoing_requests": ONGOING,
        "ray_actor_options": {"num_cpus": 0},
        "logging_config": {"enable_access_log": False},
    }
    return serve.deployment(**options)(AnswersReplica).bind(make_service)


class RemoteAnswers:
    """`ossa.contracts.answers.Answers` by the deployment's handle.

    A look-up that takes longer than the settings' `deadline_s`, or fails, is a miss. `failures` counts those.
    """

    def __init__(
        self, handle: DeploymentHandle[Any], settings: AnswerSettings, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self.failures = 0
        self._handle = handle
        self._settings = settings
        self._clock = clock
        self._in_a_row = 0
        self._rest_until = 0.0

    async def look_up(self, asked: Asked) -> Hit | None:
        if not self._settings.take(asked.tenant, asked.agent) or self._clock() < self._rest_until:
            return None
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                found: Hit | None = await self._handle.look_up.remote(asked)
        except Exception as error:  # noqa: BLE001 - whatever it is, the request goes on without the cache
            self._note_failure(error)
            return None
        self._in_a_row = 0
        return found

    async def keep(self, asked: Asked, answered: Answered) -> Refusal | None:
        if not self._settings.take(asked.tenant, asked.agent):
            return "not_opted_in"
        if self._clock() < self._rest_until:
            return "unavailable"
        try:
            async with asyncio.timeout(CALL_S):
                reason: Refusal | None = await self._handle.keep.remote(asked, answered)
        except Exception as error:  # noqa: BLE001 - the answer is on its way already
            self._note_failure(error)
            return "unavailable"
        return reason

    async def forget(self, tenant: str, *, agent: str | None = None, document: str | None = None) -> int:
        """Raises `StoreUnavailable`, `NotReady`."""
        return int(await self._call(self._handle.forget.remote(tenant, agent, document)))

    async def counters(self) -> AnswerCounters:
        """Raises `NotReady`."""
        found: AnswerCounters = await self._call(self._handle.counters.remote())
        return found

    async def _call(self, response: Any) -> Any:
        try:
            async with asyncio.timeout(CALL_S):
                return await response
        except RayTaskError as error:
            if isinstance(error.cause, OssaError):
                raise error.cause from None
            raise
        except (RayError, RayServeException, TimeoutError) as error:
            raise NotReady("the answer cache does not answer", retry_after_s=1.0) from error

    def _note_failure(self, error: Exception) -> None:
        self.failures += 1
        self._in_a_row += 1
        if self._in_a_row >= FAILURES_IN_A_ROW:
            self._in_a_row = 0
            self._rest_until = self._clock() + REST_S
            log.warning("answer_cache_away", extra={"reason": str(error)[:200] or type(error).__name__})

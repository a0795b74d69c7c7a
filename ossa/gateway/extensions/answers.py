"""The answer cache: looked up once an agent is chosen, filled once a turn has ended well."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Scope
from ossa.contracts.answers import AnswerCounters, Answered, Answers, Asked, Hit, KeptAnswer, Refusal
from ossa.contracts.configuration import AnswerSettings
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.task import Earlier, Outcome, Step, Task, TaskStatus
from ossa.gateway.api.document import describe
from ossa.gateway.api.request import Admin
from ossa.gateway.api.responses import json_response
from ossa.gateway.api.schemas import ForgottenView
from ossa.gateway.context import context_of
from ossa.gateway.core import GatewayCore
from ossa.gateway.extensions.vortex import VortexMetrics
from ossa.gateway.hooks import Extension, Run, TaskHook
from ossa.resilience.breaker import Breakers
from ossa.vortex.answers.scope import question_of, scope_of

logger = logging.getLogger(__name__)

WITHOUT = "off"
AFRESH = "refresh"

MOST_AT_ONCE = 64
"""Answers being kept at the same time; while there are so many, another one is not kept."""


class AnswerReuse:
    """One a replica; `close` ends it.

    Args:
        answers: None: nothing is looked up or kept.
        models: what stands behind the tiers, as a digest; answers of other models are not served.
    """

    def __init__(self, answers: Answers | None, metrics: VortexMetrics, *, models: str = "") -> None:
        self._answers = answers
        self._metrics = metrics
        self._models = models
        self._keeping: set[asyncio.Task[None]] = set()
        self._closed = False

    async def look_up(self, task: Task, agent: AgentInfo, *, tier: str = "") -> Outcome | None:
        """The outcome of a task whose question was answered before; None: the agent has to be asked.

        `tier`: that would be asked, or several of a cascade; empty: the agent's own.
        """
        asked = self._asked(task, agent, tier)
        if self._answers is None or asked is None or task.request.cache == AFRESH:
            return None
        began = time.perf_counter()
        try:
            hit = await self._answers.look_up(asked)
        except Exception:
            logger.exception("answer_look_up_failed")
            hit = None
        self._metrics.seconds.labels("answer_look_up").observe(time.perf_counter() - began)
        self._metrics.answers.labels(hit.kind if hit is not None else "miss").inc()
        if hit is None:
            return None
        self._metrics.answers_saved.inc(max(0.0, hit.answer.usage.cost_usd))
        return Outcome(
            status=TaskStatus.SUCCEEDED,
            message=hit.answer.message,
            logprobs=hit.answer.logprobs,
            finish_reason=hit.answer.finish_reason,
            agent_id=agent.agent_id,
            pool=agent.pool,
            model=hit.answer.model or None,
            tier=agent.tier,
            earlier=Earlier(kind=hit.kind, similarity=hit.similarity, age_s=round(hit.age_s, 3)),
        )

    def keep(self, task: Task, agent: AgentInfo, outcome: Outcome, steps: Sequence[Step], *, tier: str = "") -> None:
        """Beside the answer's way to the client; what goes wrong is a log line.

        Only of turns of one model call: whatever a tool said, or the values in a role, may be otherwise by now.
        """
        asked = self._asked(task, agent, tier)
        if self._answers is None or asked is None or outcome.message is None or outcome.earlier is not None:
            return
        if any("rejected" in step.payload for step in steps):
            return
        if outcome.usage.model_calls != 1 or any("role" in step.payload for step in steps if step.kind == "context"):
            return
        if self._closed or len(self._keeping) >= MOST_AT_ONCE:
            self._metrics.answers.labels("not_kept_closed" if self._closed else "not_kept_busy").inc()
            return
        temperature = task.request.parameters.get("temperature", agent.temperature)
        answered = Answered(
            answer=KeptAnswer(
                message=outcome.message,
                logprobs=outcome.logprobs,
                finish_reason=outcome.finish_reason or "stop",
                usage=outcome.usage,
                model=outcome.model or "",
            ),
            failed=outcome.status is not TaskStatus.SUCCEEDED,
            temperature=temperature if isinstance(temperature, int | float) else None,
        )
        keeping = asyncio.create_task(self._keep(self._answers, asked, answered), name="keep-answer")
        self._keeping.add(keeping)
        keeping.add_done_callback(self._keeping.discard)

    async def close(self, within_s: float) -> None:
        """Nothing is kept from now on; what is under way has so many seconds, and is cancelled then."""
        self._closed = True
        keeping = set(self._keeping)
        if not keeping:
            return
        _, late = await asyncio.wait(keeping, timeout=within_s)
        for one in late:
            one.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        if late:
            self._metrics.answers.labels("not_kept_closed").inc(len(late))

    async def _keep(self, answers: Answers, asked: Asked, answered: Answered) -> None:
        try:
            reason = await answers.keep(asked, answered)
        except Exception:
            logger.exception("answer_not_kept")
            reason = "unavailable"
        self._metrics.answers.labels("kept" if reason is None else f"not_kept_{reason}").inc()

    def _asked(self, task: Task, agent: AgentInfo, tier: str) -> Asked | None:
        if self._answers is None or task.request.cache == WITHOUT:
            return None
        question = question_of(task.request.messages)
        if question is None:
            return None
        return Asked(
            tenant=task.tenant,
            agent=agent.manifest,
            scope=scope_of(
                spec_digest=agent.digest,
                model=f"{tier or agent.tier} {self._models}",
                parameters={**task.request.parameters, "vortex": task.request.vortex},
                messages=task.request.messages,
            ),
            question=question,
        )


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


router = APIRouter(tags=["Answers"])

Filter = Annotated[str | None, Query(min_length=1, max_length=256)]


@router.delete(
    "/api/v1/answers",
    **describe(
        "Forget kept answers",
        "All of the tenant's, or those of an agent (its manifest's name), or those that rest on a document. "
        "None where none are kept.",
        scope=Scope.ADMIN,
        answer=ForgottenView,
    ),
)
async def forget_answers(
    request: Request,
    caller: Admin,
    agent: Filter = None,
    document: Filter = None,
) -> Response:
    answers: Answers | None = context_of(request).extensions["answers"].service
    count = 0 if answers is None else await answers.forget(caller.tenant, agent=agent, document=document)
    return json_response(ForgottenView(forgotten=count))


NAME = "answers"


class AnswerReuseHook(TaskHook):
    """Answers from the cache in the agent's place, and keeps what agents answer."""

    def __init__(self, cache: AnswerReuse) -> None:
        self._cache = cache

    async def answer(self, run: Run) -> Outcome | None:
        if run.agent is None:
            return None
        return await self._cache.look_up(run.task, run.agent, tier=run.tier_name)

    def ended(self, run: Run, outcome: Outcome) -> None:
        if run.agent is not None:
            self._cache.keep(run.task, run.agent, outcome, run.steps, tier=run.tier_name)


def extension(core: GatewayCore, *, answers: Answers | None, models: str = "") -> Extension:
    """Args:
    answers: None switches the cache off; its routes then forget nothing.
    models: what stands behind the tiers, as a digest.
    """
    if answers is None:
        return Extension(NAME, routers=[router])
    cache = AnswerReuse(answers, core.metrics.group(VortexMetrics), models=models)
    return Extension(
        NAME,
        hooks=[AnswerReuseHook(cache)],
        routers=[router],
        service=answers,
        close=lambda within_s: cache.close(within_s=within_s),
    )

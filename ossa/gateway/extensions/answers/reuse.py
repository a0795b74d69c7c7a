"""Answers that were given before: looked up once an agent was chosen, kept once a turn has ended well.

A hit is journaled as a task like any other, that ended without a model call.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from ossa.contracts.answers import Answered, Answers, Asked, KeptAnswer
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.task import Earlier, Outcome, Step, Task, TaskStatus
from ossa.gateway.extensions.vortex.metrics import VortexMetrics
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

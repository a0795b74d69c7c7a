"""The journal for work that was already accepted: an unavailable store is waited for, not given up on."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.stores import Journal
from ossa.contracts.task import Outcome, Step, UsageToday
from ossa.gateway.metrics import GatewayMetrics
from ossa.resilience.backoff import Backoff

T = TypeVar("T")
FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 1.0


class DurableJournal:
    """Writes that are tried again until the store answers.

    Each of them may be repeated safely. The one who owns the task ends the
    wait by cancelling: a lease that cannot be renewed stops its tasks.
    """

    def __init__(self, journal: Journal, metrics: GatewayMetrics) -> None:
        self._journal = journal
        self._metrics = metrics

    async def append(self, task_id: str, *, fence: int, steps: Sequence[Step], agent_id: str) -> None:
        await self._until_answered(
            "append", lambda: self._journal.append(task_id, fence=fence, steps=steps, agent_id=agent_id)
        )

    async def finish(
        self, task_id: str, *, fence: int, outcome: Outcome, steps: Sequence[Step], subjects: Sequence[str]
    ) -> None:
        await self._until_answered(
            "finish",
            lambda: self._journal.finish(task_id, fence=fence, outcome=outcome, steps=steps, usage_subjects=subjects),
        )

    async def release(self, task_id: str, *, fence: int) -> None:
        await self._until_answered("release", lambda: self._journal.release(task_id, fence=fence))

    async def steps(self, task_id: str) -> list[Step]:
        return await self._until_answered("steps", lambda: self._journal.steps(task_id))

    async def usage_today(self, subject: str) -> UsageToday:
        return await self._until_answered("usage_today", lambda: self._journal.usage_today(subject))

    async def _until_answered(self, call: str, attempt: Callable[[], Awaitable[T]]) -> T:
        backoff = Backoff(FIRST_WAIT_S, LONGEST_WAIT_S, jitter=0.5)
        while True:
            began = time.perf_counter()
            try:
                answer = await attempt()
            except StoreUnavailable:
                self._metrics.journal_errors.labels(call).inc()
            else:
                self._metrics.journal.labels(call).observe(time.perf_counter() - began)
                return answer
            await backoff.pause()


def usage_subjects(tenant: str, agent: AgentInfo | None) -> list[str]:
    """The tenant, and the manifest of the agent that did the task, as the journal names them."""
    return [f"tenant:{tenant}"] if agent is None else [f"tenant:{tenant}", manifest_subject(agent)]


def manifest_subject(agent: AgentInfo) -> str:
    return f"manifest:{agent.manifest}"

"""What a turn may ask of its owner, and how it is answered."""

from __future__ import annotations

import asyncio
import logging

from ossa.contracts.compression import Compressor
from ossa.contracts.errors import InvalidRequest, NotReady
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.task import Outcome, Task
from ossa.contracts.turn import TurnCall, TurnCallResult
from ossa.gateway.extensions.vortex.metrics import VortexMetrics
from ossa.gateway.hooks import Run, TaskHook
from ossa.vortex.exchange.exchange import TokenExchange
from ossa.vortex.exchange.system_prompt import resolve_prompt
from ossa.vortex.originals import is_handle

LONGEST_S = 30.0
"""Nobody waits longer for shorter contents."""

logger = logging.getLogger(__name__)


class VortexCalls:
    """One a replica. Raises what the service that was asked raises; `NotReady` where there is none."""

    def __init__(self, compressor: Compressor | None = None, exchange: TokenExchange | None = None) -> None:
        self._compressor = compressor
        self._exchange = exchange

    async def answer(self, call: TurnCall, *, task: Task, agent: AgentInfo) -> TurnCallResult:
        if call.role:
            return await self._resolved(call.role, task, agent)
        if self._compressor is None:
            raise NotReady("this gateway has no compression service")
        if call.original:
            if not is_handle(call.original):
                raise InvalidRequest("that is no handle", param="original")
            return TurnCallResult(original=await self._compressor.decompress(call.original, tenant=task.tenant))
        async with asyncio.timeout(LONGEST_S):
            orders = (self._compressor.compress(order, tenant=task.tenant) for order in call.compress)
            compressed = await asyncio.gather(*orders)
        return TurnCallResult(compressed=tuple(compressed))

    async def _resolved(self, role: str, task: Task, agent: AgentInfo) -> TurnCallResult:
        if self._exchange is None:
            raise NotReady("this gateway resolves no placeholders")
        prompt = await resolve_prompt(
            self._exchange,
            role,
            tenant=task.tenant,
            bindings={"task": task.id, "agent": agent.agent_id, "pool": agent.pool},
        )
        for failure in prompt.failures:
            logger.warning(
                "placeholder_not_resolved",
                extra={"manifest": agent.manifest, "placeholder": str(failure.placeholder), "task_id": task.id},
            )
        return TurnCallResult(role=prompt.text, values=prompt.values)


class VortexHook(TaskHook):
    """Answers turns that want contents shortened, an original back, or a role resolved."""

    def __init__(self, calls: VortexCalls, metrics: VortexMetrics) -> None:
        self._calls = calls
        self._metrics = metrics

    async def call(self, call: TurnCall, run: Run) -> TurnCallResult | None:
        if run.agent is None or not (call.role or call.original or call.compress):
            return None
        return await self._calls.answer(call, task=run.task, agent=run.agent)

    def ended(self, run: Run, outcome: Outcome) -> None:
        self._metrics.saved.labels(outcome.pool or "").inc(max(0, outcome.usage.saved_tokens))

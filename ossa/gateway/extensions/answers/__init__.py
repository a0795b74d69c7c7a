"""The answer cache: looked up once an agent is chosen, filled once a turn has ended well."""

from __future__ import annotations

from ossa.contracts.answers import Answers
from ossa.contracts.task import Outcome
from ossa.gateway.core import GatewayCore
from ossa.gateway.extensions.answers import api
from ossa.gateway.extensions.answers.reuse import AnswerReuse
from ossa.gateway.extensions.vortex.metrics import VortexMetrics
from ossa.gateway.hooks import Extension, Run, TaskHook

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
        return Extension(NAME, routers=[api.router])
    cache = AnswerReuse(answers, core.metrics.group(VortexMetrics), models=models)
    return Extension(
        NAME,
        hooks=[AnswerReuseHook(cache)],
        routers=[api.router],
        service=answers,
        close=lambda within_s: cache.close(within_s=within_s),
    )

"""Fewer tokens: contents of turns shortened and fetched back, placeholders of roles resolved."""

from __future__ import annotations

from ossa.contracts.cache import CacheStore
from ossa.contracts.compression import Compressor
from ossa.contracts.memory import Memory
from ossa.contracts.task import Outcome
from ossa.contracts.turn import TurnCall, TurnCallResult
from ossa.gateway.cache_metrics import watch_cache
from ossa.gateway.core import GatewayCore
from ossa.gateway.extensions.vortex import api
from ossa.gateway.extensions.vortex.calls import VortexCalls
from ossa.gateway.extensions.vortex.metrics import MeteredCompressor, VortexMetrics
from ossa.gateway.extensions.vortex.registry_metrics import RegistryMetrics
from ossa.gateway.extensions.vortex.remembered import RememberedText
from ossa.gateway.hooks import Extension, Run, TaskHook
from ossa.vortex.exchange import TieredCache, TokenExchange
from ossa.vortex.exchange.resolvers import standard_registry

NAME = "vortex"


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


def extension(
    core: GatewayCore,
    *,
    compressor: Compressor | None,
    cache: CacheStore | None = None,
    memory: Memory | None = None,
) -> Extension:
    """Args:
    compressor: None makes the routes `NotReady`, and turns send all contents whole.
    cache: values of placeholders that replicas share; None: each replica has its own.
    memory: where placeholders of the memory are looked up.
    """
    metrics = core.metrics.group(VortexMetrics)
    metered = None if compressor is None else MeteredCompressor(compressor, metrics)
    resolvers = standard_registry(
        fleet=core.fleet,
        tasks=core.stores.journal,
        memory=None if memory is None else RememberedText(memory),
        metrics=RegistryMetrics(core.metrics.registry),
    )
    values = TieredCache(cache)
    watch_cache(core.metrics.registry, {"exchange": values.shared})
    calls = VortexCalls(metered, TokenExchange(resolvers, cache=values))
    return Extension(NAME, hooks=[VortexHook(calls, metrics)], routers=[api.router], service=metered)

"""Fewer tokens: contents of turns shortened and fetched back, placeholders of roles resolved."""

from __future__ import annotations

from ossa.contracts.cache import CacheStore
from ossa.contracts.compression import Compressor
from ossa.contracts.memory import Memory
from ossa.gateway.cache_metrics import watch_cache
from ossa.gateway.core import GatewayCore
from ossa.gateway.extensions.vortex import api
from ossa.gateway.extensions.vortex.calls import VortexCalls, VortexHook
from ossa.gateway.extensions.vortex.metrics import MeteredCompressor, VortexMetrics
from ossa.gateway.extensions.vortex.readers import RegistryMetrics, RememberedText
from ossa.gateway.hooks import Extension
from ossa.vortex.exchange.cache import TieredCache
from ossa.vortex.exchange.exchange import TokenExchange
from ossa.vortex.exchange.resolvers import standard_registry

NAME = "vortex"


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

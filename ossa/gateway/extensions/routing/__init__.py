"""What this replica's routing decisions are made under, and the routes about routing."""

from __future__ import annotations

from contextlib import suppress

from ossa.contracts.errors import NotReady
from ossa.gateway.core import GatewayCore
from ossa.gateway.extensions.routing import admin_api, api
from ossa.gateway.extensions.routing.admin_api import ROUTING_MODELS
from ossa.gateway.extensions.routing.state import RoutingHook, RoutingMetrics, RoutingState
from ossa.gateway.hooks import Extension
from ossa.routing.registry import LiveRouter

NAME = "routing"


def extension(core: GatewayCore) -> Extension:
    """Learned and rule-based routing, policies, breakers, affinity; feedback on answers."""
    metrics = core.metrics.group(RoutingMetrics)
    router = LiveRouter(core.stores.routing, meter=metrics)
    state = RoutingState(clock=core.clock, scorer=router.scorer, policies=lambda: router.policies)

    async def start() -> None:
        await router.start()
        with suppress(NotReady):
            await router.prepare(core.index())

    return Extension(
        NAME,
        hooks=[RoutingHook(core, state, metrics)],
        routers=[api.router, api.feedback, admin_api.router],
        schemas=tuple(ROUTING_MODELS.values()),
        service=router,
        start=start,
        close=lambda _within_s: router.stop(),
    )

"""The gateway as an ASGI application."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline

from ossa.contracts.agent_spec import Tier
from ossa.contracts.answers import Answers
from ossa.contracts.cache import CacheStore
from ossa.contracts.compression import Compressor
from ossa.contracts.configuration import EventSettings, GatewaySettings
from ossa.contracts.errors import NotReady, StoreUnavailable
from ossa.contracts.events import EventBus
from ossa.contracts.fleet import FleetPort
from ossa.contracts.memory import Memory
from ossa.contracts.routing import TierInfo
from ossa.contracts.scaling import SAMPLE_S
from ossa.contracts.stores import Stores
from ossa.contracts.turn import AgentLink
from ossa.gateway.api import (
    agents,
    budgets,
    chat,
    compression,
    cost,
    document,
    events,
    failures,
    feedback,
    health,
    keys,
    models,
    operations,
    orchestration,
    pools,
    routing,
    routing_admin,
    scaling,
    task_events,
    tasks,
)
from ossa.gateway.api import answers as answers_api
from ossa.gateway.api import memory as memory_api
from ossa.gateway.api.edge import Edge
from ossa.gateway.api.fast_lane import Endpoint, FastLane
from ossa.gateway.api.parts import ApiParts, ReadManifest
from ossa.gateway.cache_metrics import watch_cache
from ossa.gateway.dispatcher import DRAIN_S, Dispatcher
from ossa.gateway.earlier_answers import EarlierAnswers
from ossa.gateway.eventing import Eventing
from ossa.gateway.history import HistoryKeeper
from ossa.gateway.manifests import read_manifest
from ossa.gateway.metrics import GatewayMetrics
from ossa.gateway.optimising import Optimiser
from ossa.gateway.registry_metrics import RegistryMetrics
from ossa.gateway.remembered import RememberedText
from ossa.gateway.routes import Routes
from ossa.gateway.spending import Spending
from ossa.gateway.traffic import TrafficMeter
from ossa.gateway.traffic_reports import TrafficReports
from ossa.gateway.turn_help import TurnHelp
from ossa.gateway.vortex_metrics import MeteredCompressor
from ossa.routing.registry import LiveRouter
from ossa.tenancy.key_ring import KeyRing
from ossa.vortex.exchange import TieredCache, TokenExchange
from ossa.vortex.exchange.resolvers import standard_registry

ROUTERS = (
    chat,
    models,
    tasks,
    task_events,
    routing,
    feedback,
    routing_admin,
    orchestration,
    agents,
    pools,
    operations,
    compression,
    answers_api,
    memory_api,
    budgets,
    cost,
    scaling,
    events,
    keys,
    health,
)
"""`orchestration` before `agents`: `/api/v1/agents/spawn-pool` must not be taken for an agent's id."""


def create_app(
    *,
    settings: GatewaySettings,
    stores: Stores,
    fleet: FleetPort,
    link: AgentLink,
    read_manifest: ReadManifest = read_manifest,
    operator_tenant: str = "default",
    compressor: Compressor | None = None,
    cache: CacheStore | None = None,
    answers: Answers | None = None,
    memory: Memory | None = None,
    bus: EventBus | None = None,
    events_as: EventSettings | None = None,
    models: str = "",
    tiers: Mapping[Tier, TierInfo] | None = None,
    history_days: float = 30,
    replica: str = "gateway",
    clock: Callable[[], float] = time.monotonic,
    rng: random.Random | None = None,
    drain_s: float = DRAIN_S,
    on_close: Callable[[], Awaitable[None]] | None = None,
    request_id_echoed: bool = False,
) -> FastAPI:
    """The app; its lifespan opens the stores, runs the dispatcher, and closes both and the link.

    Args:
        operator_tenant: its admins may manage other tenants' keys.
        compressor: answers `/api/v1/compress` and shortens contents of turns; None: those routes are not ready, and
            turns send all contents whole.
        cache: values of the token exchange that replicas share; None: each has its own.
        answers: answers that were given before; None: every question goes to an agent.
        memory: answers `/api/v1/memory` and the placeholders of it; None: those routes are not ready.
        bus: where events go; None: none are told, and the stores must not tell any.
        events_as: the settings that bus and stores were made with.
        models: what stands behind the tiers, as a digest.
        tiers: the endpoints that agents have, for routing to choose from; None: each agent uses its own.
        history_days: ended tasks stay so long.
        replica: begins the owner ids of this process, and is a label of its metrics.
        clock: monotonic seconds.
        drain_s: at shutdown, how long running tasks may take to end before they are handed over.
        on_close: called last at shutdown, for what belongs to the app besides.
        request_id_echoed: the server in front answers with the request's `x-request-id` itself.
    """

    metrics = GatewayMetrics(replica)
    metered = None if compressor is None else MeteredCompressor(compressor, metrics.vortex)
    resolvers = standard_registry(
        fleet=fleet,
        tasks=stores.journal,
        memory=RememberedText(memory) if memory is not None else None,
        metrics=RegistryMetrics(metrics.registry),
    )
    tiers_of_values = TieredCache(cache)
    watch_cache(metrics.registry, {"exchange": tiers_of_values.shared})
    exchange = TokenExchange(resolvers, cache=tiers_of_values)
    router = LiveRouter(stores.routing, meter=metrics.routing)
    spending = Spending(stores.budgets, metrics.budgets, operator_tenant=operator_tenant)
    routes = Routes(
        clock=clock,
        tiers=tiers,
        scorer=router.scorer,
        policies=lambda: router.policies,
        left_usd=spending.left_usd,
    )
    eventing = Eventing(stores.outbox, bus, events_as or EventSettings(), metrics)
    history = HistoryKeeper(stores.history, metrics.history, keep_days=history_days)
    optimiser = Optimiser(stores, fleet, settings, tiers=tiers or {}, operator_tenant=operator_tenant)

    def make_parts() -> ApiParts:
        traffic = TrafficMeter(clock, metrics.traffic)
        reports = TrafficReports(
            traffic,
            journal=stores.journal,
            fleet=fleet,
            metrics=metrics,
            name=replica,
            index=lambda: dispatcher.desk.index(),
            owners=lambda: [lease.owner for lease in dispatcher.leases.all],
            every_s=SAMPLE_S,
        )
        dispatcher = Dispatcher(
            journal=stores.journal,
            fleet=fleet,
            link=link,
            settings=settings,
            metrics=metrics,
            help=TurnHelp(metered, exchange, memory),
            earlier=EarlierAnswers(answers, metrics.vortex, models=models) if answers is not None else None,
            spending=spending,
            routes=routes,
            traffic=traffic,
            chores={
                "optimiser": optimiser.run_forever,
                "traffic": reports.run_forever,
                "history": history.run_forever,
                **eventing.chores(),
            },
            name=replica,
            clock=clock,
            rng=rng,
        )
        return ApiParts(
            settings=settings,
            stores=stores,
            fleet=fleet,
            dispatcher=dispatcher,
            keys=KeyRing(stores.keys, cache_s=settings.key_cache_s, clock=clock),
            metrics=metrics,
            read_manifest=read_manifest,
            operator_tenant=operator_tenant,
            version=package_version(),
            compressor=metered,
            answers=answers,
            memory=memory,
            router=router,
            optimiser=optimiser,
            eventing=eventing,
        )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await stores.open()
        # Made here, because their locks and tasks belong to the loop that serves.
        parts = app.state.parts = make_parts()
        await router.start()
        with suppress(NotReady):
            await router.prepare(parts.dispatcher.desk.index())
        await parts.dispatcher.start()
        try:
            yield
        finally:
            await parts.dispatcher.stop(drain_s=drain_s)
            await router.stop()
            await link.close()
            await eventing.close()
            await stores.close()
            if cache is not None:
                with suppress(StoreUnavailable):
                    await cache.close()
            if on_close is not None:
                await on_close()

    return _application(lifespan, metrics, request_id_echoed)


def _application(
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]], metrics: GatewayMetrics, request_id_echoed: bool
) -> FastAPI:
    # Its pages load nothing from elsewhere: clusters are often cut off.
    app = FastAPIOffline(title="OSSA on Ray", version=package_version(), lifespan=lifespan, redoc_url=None)
    for resource in ROUTERS:
        app.include_router(resource.router)
    app.state.api_routes = [
        route for resource in ROUTERS for route in resource.router.routes if isinstance(route, APIRoute)
    ]
    failures.install(app)
    document.install(app)
    # The one that is added last is the outermost.
    app.add_middleware(FastLane, lanes=_lanes(app))
    app.add_middleware(Edge, metrics=metrics, echoed=request_id_echoed)
    return app


def _lanes(app: FastAPI) -> dict[tuple[str, str], tuple[APIRoute, Endpoint]]:
    return {
        ("POST", route.path): (route, chat.chat_completions)
        for route in app.state.api_routes
        if route.endpoint is chat.chat_completions
    }


def package_version() -> str:
    try:
        return version("ossa-on-ray")
    except PackageNotFoundError:
        return "0.0.0"

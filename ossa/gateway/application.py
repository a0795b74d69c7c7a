"""The gateway as an ASGI application: a core, its extensions, and the HTTP routes of both."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware

from ossa.contracts.origin import Origin, acting
from ossa.events.host import consumer_loops
from ossa.events.publisher import ConsumerMetrics
from ossa.gateway.api import agents, chat, document, fleet, health, keys, responses, tasks, text_completions
from ossa.gateway.api.responses import Edge, Endpoint, FastLane
from ossa.gateway.context import GatewayContext
from ossa.gateway.core import GatewayCore
from ossa.gateway.dispatcher import DRAIN_S, Dispatcher
from ossa.gateway.hooks import Extension, Hooks, check_extensions
from ossa.tenancy.key_ring import KeyRing

logger = logging.getLogger(__name__)

ROUTERS = (
    chat.router,
    text_completions.router,
    tasks.router,
    fleet.router,
    agents.router,
    fleet.pools,
    keys.router,
    health.router,
)
"""`fleet` before `agents`: `/api/v1/agents/spawn-pool` must not be taken for an agent's id."""


def create_app(
    core: GatewayCore,
    extensions: Sequence[Extension],
    *,
    drain_s: float = DRAIN_S,
    on_close: Callable[[], Awaitable[None]] | None = None,
    request_id_echoed: bool = False,
) -> FastAPI:
    """Returns the app. Its lifespan opens the stores, runs the dispatcher and the extensions, and closes them.

    Args:
        extensions: in the order in which their hooks run; they were built from `core`.
        drain_s: at shutdown, how long running tasks may take to end before they are handed over.
        on_close: called last at shutdown, for what belongs to the app besides.
        request_id_echoed: the server in front answers with the request's `x-request-id` itself.

    Raises:
        TypeError, ValueError: an extension is none, or takes a name or a route that is taken (`check_extensions`).
    """
    context = _context(core, extensions)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with acting(Origin(actor="system/gateway")):
            await core.stores.open()
            for extension in extensions:
                if extension.start is not None:
                    await extension.start()
            await context.dispatcher.start()
        try:
            yield
        finally:
            await context.dispatcher.stop(drain_s=drain_s)
            await core.link.close()
            if core.bus is not None:
                await core.bus.close()
            await core.stores.close()
            if on_close is not None:
                await on_close()

    app = _application(lifespan, core, extensions, request_id_echoed)
    app.state.context = context
    return app


def _context(core: GatewayCore, extensions: Sequence[Extension]) -> GatewayContext:
    check_extensions(extensions, ROUTERS)
    hooks = Hooks([hook for extension in extensions for hook in extension.hooks], core.metrics.failures)
    closers = [extension.close for extension in reversed(extensions) if extension.close is not None]
    return GatewayContext(
        core=core,
        dispatcher=Dispatcher(core, hooks, loops=_loops(core, extensions), closers=closers),
        keys=KeyRing(core.stores.keys, cache_s=core.settings.key_cache_s, clock=core.clock),
        extensions={extension.name: extension for extension in extensions},
        version=package_version(),
    )


def _loops(core: GatewayCore, extensions: Sequence[Extension]) -> dict[str, Callable[[], Awaitable[None]]]:
    """The extensions' loops, and one for each consumer."""
    loops = {name: loop for extension in extensions for name, loop in extension.loops.items()}
    consumers = {group: each for extension in extensions for group, each in extension.consumers.items()}
    return loops | consumer_loops(core.log, consumers, metrics=core.metrics.group(ConsumerMetrics))


def _application(
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    core: GatewayCore,
    extensions: Sequence[Extension],
    request_id_echoed: bool,
) -> FastAPI:
    routers = [*ROUTERS, *(router for extension in extensions for router in extension.routers)]
    schemas = [schema for extension in extensions for schema in extension.schemas]
    # Its pages load nothing from elsewhere: clusters are often cut off.
    app = FastAPIOffline(title="OSSA on Ray", version=package_version(), lifespan=lifespan, redoc_url=None)
    for router in routers:
        app.include_router(router)
    app.state.api_routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    responses.install(app)
    document.install(app, schemas)
    # The one that is added last is the outermost.
    app.add_middleware(FastLane, lanes=_lanes(app))
    app.add_middleware(Edge, metrics=core.metrics, echoed=request_id_echoed)
    if core.settings.cors_origins:
        _allow_origins(app, core.settings.cors_origins)
    return app


CORS_MAX_AGE_S = 600
_EXPOSED = (
    "x-request-id", "x-ossa-task-id", "x-ossa-agent", "x-ossa-pool", "x-ossa-model", "x-ossa-cost-usd",
    "x-ossa-tokens-saved", "x-ossa-budget", "x-ossa-cache", "x-ossa-cache-similarity", "x-ossa-cache-age",
    "retry-after", "x-should-retry",
)  # fmt: skip


def _allow_origins(app: FastAPI, origins: Sequence[str]) -> None:
    """Lets pages of these origins call. The outermost layer: a preflight has no key and needs none."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=("GET", "HEAD", "POST", "PUT", "DELETE"),
        allow_headers=["*"],
        expose_headers=list(_EXPOSED),
        max_age=CORS_MAX_AGE_S,
    )


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

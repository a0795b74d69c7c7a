"""The gateway on Ray Serve. With its neighbours `sidecar` and `router_deployment` the only files here that know Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from ossa.contracts.configuration import GatewaySettings
from ossa.contracts.errors import StoreUnavailable
from ossa.gateway.application import create_app
from ossa.gateway.context import GatewayContext
from ossa.gateway.core import GatewayCore
from ossa.gateway.hooks import Extension
from ossa.observability.logs import write_log_lines

DEPLOYMENT = "gateway"
HEALTH_CHECK_S = 2.0
DRAIN_S = 20.0
OTHER_REQUESTS = 128
"""Beside `max_inflight` chats: health checks, event streams, the fleet's own calls."""

TOLERATED_S = 60.0
"""How long a replica without a lease counts as well: a new replica would not reach the store either."""


@dataclass(frozen=True)
class GatewayBuild:
    """What a replica is built from; made in the replica's own process, on its event loop.

    `close` is called at the replica's end, after the dispatcher, the link and the stores.
    """

    core: GatewayCore
    extensions: Sequence[Extension] = ()
    close: Callable[[], Awaitable[None]] | None = None


MakeGateway = Callable[[Mapping[str, DeploymentHandle[Any]]], Awaitable[GatewayBuild]]
"""Gets the handles of the side-cars by name. Pickled: it holds settings, not connections."""


@serve.ingress()
class Gateway:
    """One replica: an API, a dispatcher, and the leases of what it accepted."""

    async def __init__(  # type: ignore[misc]
        self, make_gateway: MakeGateway, sidecars: dict[str, DeploymentHandle[Any]]
    ) -> None:
        write_log_lines()
        self._gateway_build = await make_gateway(sidecars)
        self._gateway_app: FastAPI | None = None
        self._unwell_since: float | None = None

    def __serve_build_asgi_app__(self) -> FastAPI:
        build = self._gateway_build
        self._gateway_app = create_app(
            build.core,
            build.extensions,
            drain_s=DRAIN_S,
            on_close=build.close,
            request_id_echoed=True,  # Serve gives every request an id, and adds it to every answer
        )
        return self._gateway_app

    async def check_health(self) -> None:
        """Raises when this process, and not only the store, seems to be what is broken."""
        context: GatewayContext | None = getattr(getattr(self._gateway_app, "state", None), "context", None)
        if context is None or context.dispatcher.accepting:
            self._unwell_since = None
            return
        now = asyncio.get_running_loop().time()
        if self._unwell_since is None:
            self._unwell_since = now
        try:
            async with asyncio.timeout(HEALTH_CHECK_S):
                await context.core.stores.journal.ping()
        except (StoreUnavailable, TimeoutError):
            if now - self._unwell_since < TOLERATED_S:
                return
        else:
            # The store answers and still there is no lease: give the loop a few rounds, then be replaced.
            if now - self._unwell_since < 5 * context.core.settings.lease_ttl_s:
                return
        raise RuntimeError("The gateway has held no lease for too long.")


def gateway_application(
    settings: GatewaySettings, make_gateway: MakeGateway, sidecars: Mapping[str, serve.Application]
) -> serve.Application:
    """The Serve application: the gateway, and the side-cars that `make_gateway` gets the handles of."""
    options: dict[str, Any] = {
        "name": DEPLOYMENT,
        "num_replicas": settings.replicas,
        "max_ongoing_requests": settings.max_inflight + OTHER_REQUESTS,
        "max_queued_requests": -1,
        "health_check_period_s": 5,
        "health_check_timeout_s": 15,
        "graceful_shutdown_wait_loop_s": 0.5,
        "graceful_shutdown_timeout_s": DRAIN_S + 10,
        "ray_actor_options": {"num_cpus": 0},
        # One line a request costs more than routing does; metrics count requests, and errors are logged with their id.
        "logging_config": {"enable_access_log": False},
    }
    return serve.deployment(**options)(Gateway).bind(make_gateway, dict(sidecars))

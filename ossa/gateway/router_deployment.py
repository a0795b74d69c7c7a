"""The Serve deployment `router`: decisions for other Ray programs, by handle.

    router = serve.get_app_handle("ossa-router")
    (decided,) = await router.route.remote([TaskRequest(messages=[...])], "acme")

The gateway needs none of it: it decides in its own process, with the same code.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ray import serve

from ossa.contracts.errors import NotReady
from ossa.contracts.routing import Decided, RouterStatus
from ossa.contracts.task import TaskRequest
from ossa.gateway.deciding import decided
from ossa.gateway.desk import Desk
from ossa.gateway.routes import Routes
from ossa.routing.registry import LiveRouter

if TYPE_CHECKING:
    from ossa.gateway.deployment import GatewayParts

DEPLOYMENT = "router"
ONGOING = 64

MakeParts = Callable[[], Awaitable["GatewayParts"]]


def application_name(namespace: str) -> str:
    """Of the Serve application that holds the deployment."""
    return f"{namespace}-router"


class Router:
    """One replica: its own view of the fleet, the models of the registry. Knows nothing of turns in flight."""

    async def __init__(self, make_parts: MakeParts) -> None:  # type: ignore[misc]
        self._parts = await make_parts()
        await self._parts.stores.open()
        self._live = LiveRouter(self._parts.stores.routing)
        await self._live.start()
        routes = Routes(
            clock=time.monotonic,
            tiers=self._parts.tiers,
            scorer=self._live.scorer,
            policies=lambda: self._live.policies,
        )
        self._desk = Desk(self._parts.fleet, rng=random.Random(), clock=time.monotonic, routes=routes)
        with suppress(NotReady):
            await self._live.prepare(self._desk.index())

    async def route(self, requests: Sequence[TaskRequest], tenant: str) -> list[Decided]:
        """Where each would go, in their order; the errors are data."""
        return [decided(self._desk, request, tenant=tenant) for request in requests]

    async def status(self) -> RouterStatus:
        return self._live.status()


def router_application(make_parts: MakeParts, *, replicas: int) -> serve.Application:
    """`make_parts` is pickled, and called on the replica's loop."""
    options: dict[str, Any] = {
        "name": DEPLOYMENT,
        "num_replicas": replicas,
        "max_ongoing_requests": ONGOING,
        "ray_actor_options": {"num_cpus": 0},
        "logging_config": {"enable_access_log": False},
    }
    return serve.deployment(**options)(Router).bind(make_parts)

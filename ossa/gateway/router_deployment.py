"""The Serve deployment `router`: decisions for other Ray programs, by handle.

    router = serve.get_app_handle("ossa-router")
    (decided,) = await router.route.remote([TaskRequest(messages=[...])], "acme")

The gateway needs none of it: it decides in its own process, with the same code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ray import serve

from ossa.contracts.routing import Decided, RouterStatus
from ossa.contracts.task import TaskRequest
from ossa.gateway.extensions import routing
from ossa.gateway.extensions.routing.api import decided
from ossa.gateway.hooks import Hooks
from ossa.gateway.scheduler import AgentScheduler
from ossa.observability.logs import write_log_lines

if TYPE_CHECKING:
    from ossa.gateway.deployment import MakeGateway

DEPLOYMENT = "router"
ONGOING = 64


def application_name(namespace: str) -> str:
    """The name of the Serve application that holds the deployment."""
    return f"{namespace}-router"


class Router:
    """One replica: its own view of the fleet, the models of the registry. Knows nothing of turns in flight."""

    async def __init__(self, make_gateway: MakeGateway) -> None:  # type: ignore[misc]
        write_log_lines()
        build = await make_gateway({})
        await build.core.stores.open()
        # The gateway's own extensions, so that what narrows its decisions narrows these; their loops do not run here.
        extensions = build.extensions or [routing.extension(build.core)]
        self._live = next(one.service for one in extensions if one.name == routing.NAME)
        self._scheduler = AgentScheduler(build.core, Hooks([hook for one in extensions for hook in one.hooks]))
        for extension in extensions:
            if extension.start is not None:
                await extension.start()

    async def route(self, requests: Sequence[TaskRequest], tenant: str) -> list[Decided]:
        """Where each would go, in their order; the errors are data."""
        return [decided(self._scheduler, request, tenant=tenant) for request in requests]

    async def status(self) -> RouterStatus:
        status: RouterStatus = self._live.status()
        return status


def router_application(make_gateway: MakeGateway, *, replicas: int) -> serve.Application:
    """`make_gateway` is pickled, and called on the replica's loop."""
    options: dict[str, Any] = {
        "name": DEPLOYMENT,
        "num_replicas": replicas,
        "max_ongoing_requests": ONGOING,
        "ray_actor_options": {"num_cpus": 0},
        "logging_config": {"enable_access_log": False},
    }
    return serve.deployment(**options)(Router).bind(make_gateway)

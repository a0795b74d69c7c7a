"""Side-cars: services on Serve deployments of their own, and the gateway's way to them.

A side-car keeps heavy imports (numpy, drivers) and single owners (an embedded index) out of the gateway's replicas.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from ossa.contracts.errors import NotReady, OssaError
from ossa.contracts.origin import NOWHERE, Origin, acting, current_origin
from ossa.gateway.metrics import meter_cache
from ossa.observability.logs import write_log_lines

MakeService = Callable[[], Awaitable[Any]]
"""Pickled, and called on the replica's event loop: it holds settings, not connections. The service has `start()`."""


@dataclass(frozen=True)
class Sidecar:
    """One kind of side-car.

    Attributes:
        name: of the Serve deployment.
        service: what it is called in an error.
        methods: those of the service that may be called, and the seconds that each may take.
        ongoing: calls that one replica answers at the same time.
    """

    name: str
    service: str
    methods: Mapping[str, float]
    ongoing: int = 256

    def application(self, make_service: MakeService, *, replicas: int = 1) -> serve.Application:
        options: dict[str, Any] = {
            "name": self.name,
            "num_replicas": replicas,
            "max_ongoing_requests": self.ongoing,
            "ray_actor_options": {"num_cpus": 0},
            "logging_config": {"enable_access_log": False},
        }
        return serve.deployment(**options)(SidecarReplica).bind(self, make_service)

    def remote(self, handle: DeploymentHandle[Any]) -> Any:
        """The service by a handle: an object with its methods, as coroutines with the same arguments.

        They raise the service's own `OssaError`s, and `NotReady` when it does not answer in time.
        """
        return RemoteService(self, handle)


class SidecarReplica:
    """Needs no orderly end: what it was doing is finished or repeated by the next replica."""

    async def __init__(self, sidecar: Sidecar, make_service: MakeService) -> None:  # type: ignore[misc]
        write_log_lines()
        self._sidecar = sidecar
        with acting(Origin(actor=f"system/{sidecar.name}")):  # of the loops that begin here
            self._service = await make_service()
            await self._service.start()
            counts = getattr(self._service, "cache_counts", None)
            if counts is not None:
                self._metering = asyncio.create_task(meter_cache(sidecar.name, counts), name="cache-meters")

    async def call(
        self, method: str, arguments: tuple[Any, ...], options: dict[str, Any], origin: Origin = NOWHERE
    ) -> Any:
        """Calls the service under the caller's origin."""
        if method not in self._sidecar.methods:
            raise AttributeError(f"The side-car {self._sidecar.name} has no method {method!r}.")
        member = getattr(self._service, method)
        with acting(origin):
            result = member(*arguments, **options) if callable(member) else member
            return await result if asyncio.iscoroutine(result) else result


class RemoteService:
    def __init__(self, sidecar: Sidecar, handle: DeploymentHandle[Any]) -> None:
        self._sidecar = sidecar
        self._handle = handle

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        if name not in self._sidecar.methods:
            raise AttributeError(name)
        return partial(self._call, name)

    async def _call(self, method: str, *arguments: Any, **options: Any) -> Any:
        try:
            async with asyncio.timeout(self._sidecar.methods[method]):
                return await self._handle.call.remote(method, arguments, options, current_origin())
        except RayTaskError as error:
            if isinstance(error.cause, OssaError):
                raise error.cause from None
            raise
        except (RayError, RayServeException, TimeoutError) as error:
            raise NotReady(f"{self._sidecar.service} does not answer.", retry_after_s=1.0) from error


VORTEX = Sidecar("vortex", "The compression service", {"compress": 120.0, "decompress": 120.0}, ongoing=32)

ANSWERS = Sidecar("answers", "The answer cache", {"look_up": 10.0, "keep": 10.0, "forget": 10.0, "counters": 10.0})
"""One replica owns the index."""

MEMORY = Sidecar(
    "memory",
    "The memory",
    {
        **dict.fromkeys(("remember", "recall", "find", "grant", "revoke", "grants"), 30.0),
        "forget": 300.0,  # a person's memories, or a tenant's, may be many
    },
)

SIDECARS = (VORTEX, ANSWERS, MEMORY)

"""The Serve deployment `vortex`, and the gateway's way to it, which does without numpy and the vectors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from ossa.contracts.compression import Compressed, CompressionOrder
from ossa.contracts.errors import NotReady, OssaError

if TYPE_CHECKING:
    from ossa.vortex.service import CompressionService

DEPLOYMENT = "vortex"
TIMEOUT_S = 120.0
ONGOING = 32

MakeService = Callable[[], Awaitable["CompressionService"]]


class Vortex:
    """One replica: a compressor of its own, originals in the shared store."""

    async def __init__(self, make_service: MakeService) -> None:  # type: ignore[misc]
        self._service = await make_service()
        await self._service.start()

    async def compress(self, order: CompressionOrder, tenant: str) -> Compressed:
        return await self._service.compress(order, tenant=tenant)

    async def decompress(self, text: str, tenant: str) -> str:
        return await self._service.decompress(text, tenant=tenant)


def vortex_application(make_service: MakeService, *, replicas: int) -> serve.Application:
    """`make_service` is pickled, and called on the replica's loop."""
    options: dict[str, Any] = {
        "name": DEPLOYMENT,
        "num_replicas": replicas,
        "max_ongoing_requests": ONGOING,
        "ray_actor_options": {"num_cpus": 0},
        "logging_config": {"enable_access_log": False},
    }
    return serve.deployment(**options)(Vortex).bind(make_service)


class RemoteCompressor:
    """`Compressor` by the deployment's handle."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self._handle = handle

    async def compress(self, order: CompressionOrder, *, tenant: str) -> Compressed:
        found: Compressed = await _answer(self._handle.compress.remote(order, tenant))
        return found

    async def decompress(self, text: str, *, tenant: str) -> str:
        return str(await _answer(self._handle.decompress.remote(text, tenant)))


async def _answer(response: Any) -> Any:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await response
    except RayTaskError as error:
        if isinstance(error.cause, OssaError):
            raise error.cause from None
        raise
    except (RayError, RayServeException, TimeoutError) as error:
        raise NotReady("the compression service does not answer", retry_after_s=1.0) from error

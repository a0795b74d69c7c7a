"""The Serve deployment `memory`, which owns the embedded index, and the gateway's way to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from ossa.contracts.errors import NotReady, OssaError
from ossa.contracts.memory import ForgetProof, Grant, MemoryItem, NewMemory, Recall, Recalled, Scope
from ossa.contracts.memory_policy import EVERY_KIND
from ossa.gateway.cache_meters import meter_cache

if TYPE_CHECKING:
    from ossa.memory.service import MemoryService

DEPLOYMENT = "memory"
ONGOING = 256
CALL_S = 30.0
FORGET_S = 300.0
"""A person's, or a tenant's, may be many."""

MakeMemory = Callable[[], Awaitable["MemoryService"]]


class MemoryReplica:
    """It needs no orderly end: what it was at is finished by the next one."""

    async def __init__(self, make_service: MakeMemory) -> None:  # type: ignore[misc]
        self._service = await make_service()
        await self._service.start()
        self._metering = (
            asyncio.create_task(meter_cache("memory", counts), name="memory-meters")
            if (counts := self._service.cache_counts) is not None
            else None
        )

    async def remember(self, new: NewMemory, tenant: str) -> MemoryItem:
        return await self._service.remember(new, tenant=tenant)

    async def recall(self, id: str, tenant: str, of: str | None) -> MemoryItem:
        return await self._service.recall(id, tenant=tenant, of=of)

    async def find(self, query: Recall, tenant: str) -> list[Recalled]:
        return await self._service.find(query, tenant=tenant)

    async def forget(self, scope: Scope) -> ForgetProof:
        return await self._service.forget(scope)

    async def grant(self, tenant: str, to: str, kinds: tuple[str, ...]) -> Grant:
        return await self._service.grant(tenant, to=to, kinds=kinds)

    async def revoke(self, tenant: str, to: str) -> None:
        await self._service.revoke(tenant, to=to)

    async def grants(self, tenant: str) -> list[Grant]:
        return await self._service.grants(tenant)


def memory_application(make_service: MakeMemory, *, replicas: int = 1) -> serve.Application:
    """`make_service` is pickled, and called on the replica's loop."""
    options: dict[str, Any] = {
        "name": DEPLOYMENT,
        "num_replicas": replicas,
        "max_ongoing_requests": ONGOING,
        "ray_actor_options": {"num_cpus": 0},
        "logging_config": {"enable_access_log": False},
    }
    return serve.deployment(**options)(MemoryReplica).bind(make_service)


class RemoteMemory:
    """`ossa.contracts.memory.Memory` by the deployment's handle. Raises `NotReady` when it does not answer."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self._handle = handle

    async def remember(self, new: NewMemory, *, tenant: str) -> MemoryItem:
        made: MemoryItem = await _answer(self._handle.remember.remote(new, tenant))
        return made

    async def recall(self, id: str, *, tenant: str, of: str | None = None) -> MemoryItem:
        found: MemoryItem = await _answer(self._handle.recall.remote(id, tenant, of))
        return found

    async def find(self, query: Recall, *, tenant: str) -> list[Recalled]:
        found: list[Recalled] = await _answer(self._handle.find.remote(query, tenant))
        return found

    async def forget(self, scope: Scope) -> ForgetProof:
        proof: ForgetProof = await _answer(self._handle.forget.remote(scope), within_s=FORGET_S)
        return proof

    async def grant(self, tenant: str, *, to: str, kinds: tuple[str, ...] = (EVERY_KIND,)) -> Grant:
        made: Grant = await _answer(self._handle.grant.remote(tenant, to, kinds))
        return made

    async def revoke(self, tenant: str, *, to: str) -> None:
        await _answer(self._handle.revoke.remote(tenant, to))

    async def grants(self, tenant: str) -> list[Grant]:
        found: list[Grant] = await _answer(self._handle.grants.remote(tenant))
        return found


async def _answer(response: Any, *, within_s: float = CALL_S) -> Any:
    try:
        async with asyncio.timeout(within_s):
            return await response
    except RayTaskError as error:
        if isinstance(error.cause, OssaError):
            raise error.cause from None
        raise
    except (RayError, RayServeException, TimeoutError) as error:
        raise NotReady("the memory does not answer", retry_after_s=1.0) from error

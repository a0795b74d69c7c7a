"""The way to the memory: answers and refusals as its own, and a replica that is away."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from ray.exceptions import RayActorError, RayTaskError

from ossa.app.factories import StoresFactory
from ossa.app.memory import MemoryFactory, check_memory
from ossa.contracts.configuration import CacheSettings, Database, MemorySettings
from ossa.contracts.errors import NotFound, NotReady, StoreUnavailable
from ossa.contracts.memory import Memory, NewMemory, Recall, Scope
from ossa.contracts.origin import Origin, acting, current_origin
from ossa.gateway.sidecar import MEMORY, SidecarReplica
from ossa.memory.service import MemoryService
from tests.unit.memory.worlds import World


class Handle:
    """A deployment's handle, without the deployment. Refusals come as Ray hands them on."""

    def __init__(self, replica: Any) -> None:
        self._replica = replica
        self.broken: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        method: Callable[..., Awaitable[Any]] = getattr(self._replica, name)

        class Method:
            remote = staticmethod(lambda *args: self._call(method, *args))

        return Method

    async def _call(self, method: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        if self.broken is not None:
            raise self.broken
        try:
            return pickle.loads(pickle.dumps(await method(*pickle.loads(pickle.dumps(args)))))
        except NotFound as error:
            raise RayTaskError("f", "traceback", error) from error


@pytest.fixture
async def handle() -> Handle:
    async def make() -> MemoryService:
        return World().process()

    replica = SidecarReplica.__new__(SidecarReplica)
    await replica.__init__(MEMORY, make)  # type: ignore[misc]
    return Handle(replica)


async def test_every_call_reaches_the_replica_and_comes_back(handle: Handle) -> None:
    memory: Memory = MEMORY.remote(handle)  # type: ignore[arg-type]
    made = await memory.remember(NewMemory(id="m", content="cat"), tenant="acme")
    assert await memory.recall("m", tenant="acme") == made
    assert [one.item for one in await memory.find(Recall(text="cat"), tenant="acme")] == [made]
    granted = await memory.grant("acme", to="other", kinds=("fact",))
    assert await memory.grants("acme") == [granted]
    assert await memory.recall("m", tenant="other", of="acme") == made
    await memory.revoke("acme", to="other")
    assert (await memory.forget(Scope(tenant="acme", ids=("m",)))).complete
    with pytest.raises(NotFound):
        await memory.recall("m", tenant="acme")


class NotingGrants:
    """A service that keeps the origins under which it is asked."""

    def __init__(self) -> None:
        self.origins: list[Origin] = []

    async def start(self) -> None: ...

    async def grants(self, _: str) -> list[Any]:
        self.origins.append(current_origin())
        return []


async def test_a_replica_acts_under_the_origin_of_its_caller() -> None:
    service = NotingGrants()

    async def make() -> NotingGrants:
        return service

    replica = SidecarReplica.__new__(SidecarReplica)
    await replica.__init__(MEMORY, make)  # type: ignore[misc]
    origin = Origin(actor="key/k1", tenant="acme", request_id="mine-1")
    with acting(origin):
        calling = asyncio.create_task(MEMORY.remote(Handle(replica)).grants("acme"))
    await calling
    assert service.origins == [origin]


@pytest.mark.parametrize("error", [RayActorError(), TimeoutError()])
async def test_a_replica_that_is_away_is_not_ready(handle: Handle, error: Exception) -> None:
    handle.broken = error
    with pytest.raises(NotReady):
        await MEMORY.remote(handle).recall("m", tenant="acme")  # type: ignore[arg-type]


async def test_what_a_sidecar_does_not_offer_cannot_be_called(handle: Handle) -> None:
    with pytest.raises(AttributeError):
        MEMORY.remote(handle).start  # type: ignore[arg-type] # noqa: B018
    with pytest.raises(AttributeError, match="start"):
        await handle.call.remote("start", (), {})


def test_replicas_share_no_folder() -> None:
    check_memory(MemorySettings())
    check_memory(MemorySettings(replicas=2, qdrant_url="http://q", objects_url="s3://b"))
    with pytest.raises(StoreUnavailable, match="QDRANT_URL"):
        check_memory(MemorySettings(replicas=2, qdrant_url="http://q"))


def test_the_factory_travels_and_shows_no_secret() -> None:
    factory = MemoryFactory(
        MemorySettings(qdrant_key=SecretStr("sesame")),
        CacheSettings(),
        StoresFactory(Database(), SecretStr("postgresql://u:sesame@h/d")),
        Path("/nowhere"),
    )
    assert pickle.loads(pickle.dumps(factory)) == factory
    assert "sesame" not in repr(factory)
    assert asyncio.iscoroutinefunction(factory.__call__)

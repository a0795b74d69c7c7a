"""Interleavings that cost an item or left a copy behind, each by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ossa.contracts.memory import KindRules, NewMemory, PlacementPolicy, Recall, Scope
from ossa.memory.forgetting import GRACE_S
from ossa.memory.service import MemoryService
from ossa.testing.stores.tiers import InMemoryCatalogue, InMemoryObjects, MemoryVectors
from tests.unit.memory.worlds import World

IDLE_S = 200.0
POLICY = PlacementPolicy(kinds={"*": KindRules(warm_uses=1, warm_idle_s=IDLE_S - 1)})


class Stop:
    """Stands between a process and one method of one kind of store, until it is let on."""

    def __init__(self, kind: type[Any], method: str) -> None:
        self.method = method
        self.reached, self._go_on = asyncio.Event(), asyncio.Event()
        self._kind = kind

    def through(self, store: Any) -> Any:
        return _Stopped(store, self) if isinstance(store, self._kind) else store

    def let_on(self) -> None:
        self._go_on.set()

    async def call(self, method: Callable[..., Any], *args: Any, **named: Any) -> Any:
        self.reached.set()
        await self._go_on.wait()
        return await method(*args, **named)


class _Stopped:
    def __init__(self, store: Any, stop: Stop) -> None:
        self._store, self._stop = store, stop

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name != self._stop.method:
            return method
        return lambda *args, **named: self._stop.call(method, *args, **named)


async def remembered(world: World) -> MemoryService:
    memory = world.process()
    await memory.remember(NewMemory(id="m", content="cat", subject="anna"), tenant="acme")
    world.clock.advance(IDLE_S)
    return memory


async def stopped(world: World, stop: Stop) -> asyncio.Task[Any]:
    """Another process that sweeps, and stands at the stop."""
    sweeping = asyncio.create_task(world.process(stop.through).sweep())
    await asyncio.wait_for(stop.reached.wait(), 30)
    return sweeping


async def test_who_tidies_what_was_stored_away_a_moment_ago_leaves_the_object() -> None:
    world = World(POLICY)
    memory = await remembered(world)
    stop = Stop(InMemoryCatalogue, "store_away")
    storing = await stopped(world, stop)
    before = await world.catalogue.untidy(limit=1)
    stop.let_on()
    await storing
    await memory._copies.tidy(before[0])
    assert (await memory.recall("m", tenant="acme")).content == "cat"
    assert len(world.objects.held()) == 1


async def test_what_a_dead_process_did_not_index_is_indexed_by_another() -> None:
    world = World(POLICY)
    stop = Stop(MemoryVectors, "upsert")
    work = world.process(stop.through).remember(NewMemory(id="m", content="cat"), tenant="acme")
    remembering = asyncio.create_task(work)
    await asyncio.wait_for(stop.reached.wait(), 30)
    remembering.cancel()
    await asyncio.gather(remembering, return_exceptions=True)
    memory = world.process()
    assert (await memory.recall("m", tenant="acme")).content == "cat"
    assert (await memory.sweep()).tidied == 1
    assert len(await memory.find(Recall(text="cat"), tenant="acme")) == 1


async def test_a_slow_process_does_not_remove_the_vector_that_a_later_one_made() -> None:
    world = World(POLICY)
    memory = await remembered(world)
    stop = Stop(MemoryVectors, "delete_where")
    storing = await stopped(world, stop)
    assert (await memory.recall("m", tenant="acme")).tier == "cold"
    assert (await memory.sweep()).promoted == 1
    stop.let_on()
    await storing
    assert [one.item.content for one in await memory.find(Recall(text="cat"), tenant="acme")] == ["cat"]


async def test_a_copy_that_a_dead_process_made_after_the_forgetting_goes_too() -> None:
    world = World(POLICY)
    memory = await remembered(world)
    stop = Stop(InMemoryObjects, "put")
    storing = await stopped(world, stop)
    proof = await memory.forget(Scope(tenant="acme", subject="anna"))
    assert proof.complete
    row = (await world.catalogue.erasures(limit=1))[0]
    stop.let_on()
    await storing  # it finds out by itself, and removes what it made
    assert world.objects.held() == []
    left = await _late_copy(world, fence=row.fence - 1)
    assert world.objects.held() == [left]
    await memory.sweep()
    assert world.objects.held() == [left], "it is confirmed already"
    world.clock.advance(GRACE_S)
    await memory.sweep()
    assert world.objects.held() == []


async def _late_copy(world: World, *, fence: int) -> tuple[str, str, str, int]:
    """What a process leaves that dies right after it made a copy of what was forgotten meanwhile."""
    scratch = World()
    await scratch.process().remember(NewMemory(id="m", content="cat", subject="anna"), tenant="acme")
    row = await scratch.catalogue.row("acme", "m")
    assert row is not None
    await world.objects.put(row, "cat", fence=fence)
    return ("acme", "anna", "m", fence)

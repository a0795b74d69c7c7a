"""How the controller keeps in touch with a process, over a handle that behaves as Ray's do and a real line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr
from ray.exceptions import ActorDiedError, ActorUnavailableError

from ossa.channel import ChannelServer, ControlDesk
from ossa.fleet.agent_actor import Admission
from ossa.fleet.cluster import AgentReport, ProcessGone
from ossa.fleet.naming import ActorName
from ossa.fleet.ray_cluster import RayProcess

DEADLINE_S = 10.0


class Method:
    def __init__(self, call: Callable[[], Any]) -> None:
        self.remote = call


class Actor:
    """A handle, and the process behind it. Its main thread takes one call after the other, and dies when told to."""

    def __init__(self) -> None:
        self.desk = ControlDesk("secret", {"describe": self.describe, "drain": self.drain})
        self.server = ChannelServer(token="token", desk=self.desk)
        self.died = asyncio.Event()
        self.main = asyncio.Lock()
        self.address = ""
        self.served = 0
        self.unavailable = 0
        self.admit = Method(lambda: self._or_dies(self._admit()))
        self.serve = Method(lambda: self._or_dies(self._serve()))

    async def start(self) -> None:
        self.address = await self.server.start()

    async def describe(self, _: Any) -> Any:
        report = AgentReport(
            incarnation="i1", block="b", pid=1, node_id="n", address=self.address, started_at=datetime.now(UTC)
        )
        return report.model_dump(mode="json")

    async def drain(self, _: Any) -> Any:
        await self.died.wait()

    async def die(self) -> None:
        self.died.set()
        await self.server.close()

    async def _admit(self) -> Admission:
        async with self.main:
            return Admission(address=self.address, secret=SecretStr("secret"))

    async def _serve(self) -> None:
        if self.unavailable:
            self.unavailable -= 1
            raise ActorUnavailableError("the network has a moment", b"0" * 16)
        async with self.main:
            self.served += 1
            await asyncio.to_thread(self.desk.rest)

    async def _or_dies(self, call: Any) -> Any:
        work, death = asyncio.ensure_future(call), asyncio.ensure_future(self.died.wait())
        await asyncio.wait((work, death), return_when=asyncio.FIRST_COMPLETED)
        if self.died.is_set():
            work.cancel()
            raise ActorDiedError
        death.cancel()
        return work.result()


@pytest.fixture
async def actor() -> AsyncIterator[Actor]:
    actor = Actor()
    await actor.start()
    yield actor
    await actor.server.close()


def supervisor(actor: Actor) -> RayProcess:
    return RayProcess(ActorName("security-000", "i1"), actor)


async def test_it_is_described_and_told_gone_when_it_dies(actor: Actor) -> None:
    process = supervisor(actor)
    assert (await process.describe(DEADLINE_S)).incarnation == "i1"
    closed = asyncio.create_task(process.wait_closed())
    draining = asyncio.create_task(process.drain(DEADLINE_S))
    await process.describe(DEADLINE_S)
    assert not closed.done()
    await actor.die()
    async with asyncio.timeout(DEADLINE_S):
        assert "died" in await closed
        with pytest.raises(ProcessGone, match="died"):
            await draining
    with pytest.raises(ProcessGone, match="died"):
        await process.describe(DEADLINE_S)


async def test_a_process_whose_creation_fails_is_gone_with_that_reason(actor: Actor) -> None:
    await actor.die()
    with pytest.raises(ProcessGone, match="died"):
        await supervisor(actor).describe(DEADLINE_S)


async def test_one_that_is_not_up_in_time_is_too_slow(actor: Actor) -> None:
    async with actor.main:  # its constructor runs
        with pytest.raises(TimeoutError):
            await supervisor(actor).describe(0.05)


async def test_a_line_that_breaks_is_dialled_again_and_nobody_is_lost(actor: Actor) -> None:
    process = supervisor(actor)
    closed = asyncio.create_task(process.wait_closed())
    for _ in range(3):
        await process.describe(DEADLINE_S)
        for connection in tuple(actor.server._connections):
            connection.hang_up()
    assert (await process.describe(DEADLINE_S)).pid == 1
    assert not closed.done()
    closed.cancel()


async def test_who_lets_go_leaves_the_process_to_the_next(actor: Actor) -> None:
    first, second = supervisor(actor), supervisor(actor)
    watch = asyncio.create_task(first.wait_closed())
    await first.describe(DEADLINE_S)
    taking_over = asyncio.create_task(second.describe(DEADLINE_S))
    await first.describe(DEADLINE_S)
    assert not taking_over.done()
    watch.cancel()
    assert (await taking_over).pid == 1
    assert actor.served >= 1


async def test_one_that_ray_does_not_reach_for_a_moment_is_kept(actor: Actor) -> None:
    actor.unavailable = 1
    process = supervisor(actor)
    closed = asyncio.create_task(process.wait_closed())
    async with asyncio.timeout(DEADLINE_S):
        while not actor.served:
            await process.describe(DEADLINE_S)
            await asyncio.sleep(0.01)
    assert not closed.done()
    closed.cancel()

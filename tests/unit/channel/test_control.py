"""What a supervisor and a process promise each other over the control line."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ossa.channel import ChannelServer, ControlDesk, ControlLine
from ossa.channel.link import dial
from ossa.contracts.errors import NotFound, OssaError

DEADLINE_S = 5.0


class Process:
    """Commands that do what their names say."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.desk = ControlDesk("secret", {"echo": self.echo, "wait": self.wait, "miss": self.miss, "break": self.fail})

    async def echo(self, body: Any) -> Any:
        return body

    async def wait(self, _: Any) -> Any:
        await self.go.wait()
        return "waited"

    async def miss(self, _: Any) -> Any:
        raise NotFound("the tool search is not there")

    async def fail(self, _: Any) -> Any:
        raise ValueError("this manifest names a tool that is not there")

    async def alone(self) -> None:
        """Returns when nobody is in charge, as the call that rests does."""
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.to_thread(self.desk.rest)


@pytest.fixture
async def process() -> Process:
    return Process()


@pytest.fixture
async def address(process: Process) -> AsyncIterator[str]:
    server = ChannelServer(token="token", desk=process.desk)
    yield await server.start()
    await server.close()


@pytest.fixture
async def line(address: str) -> AsyncIterator[ControlLine]:
    line = await ControlLine.dial(address, "secret")
    yield line
    line.hang_up()


async def test_a_call_is_answered(line: ControlLine) -> None:
    assert await line.call("echo", {"text": "grüß 世界", "n": [1, None]}) == {"text": "grüß 世界", "n": [1, None]}


async def test_calls_do_not_wait_for_each_other(line: ControlLine, process: Process) -> None:
    waiting = asyncio.create_task(line.call("wait"))
    assert await line.call("echo", 1) == 1
    assert not waiting.done()
    process.go.set()
    assert await waiting == "waited"


async def test_what_a_command_raises_is_told(line: ControlLine) -> None:
    with pytest.raises(NotFound, match="search"):
        await line.call("miss")
    with pytest.raises(OssaError, match="names a tool that is not there"):
        await line.call("break")
    with pytest.raises(OssaError, match="no command frobnicate"):
        await line.call("frobnicate")
    assert await line.call("echo", "still there") == "still there"


async def test_the_process_rests_while_its_supervisor_is_on_the_line(process: Process, line: ControlLine) -> None:
    resting = asyncio.create_task(process.alone())
    await line.call("echo")
    assert not resting.done()
    line.hang_up()
    await resting


async def test_without_a_supervisor_it_does_not_rest(process: Process, address: str) -> None:
    await process.alone()
    dispatcher = await dial(address, "token")
    await process.alone()
    dispatcher.hang_up()


async def test_a_call_on_a_line_that_breaks_fails_at_once(process: Process, line: ControlLine) -> None:
    waiting = asyncio.create_task(line.call("wait"))
    await line.call("echo")
    line.hang_up()
    with pytest.raises(ConnectionError):
        await waiting
    assert line.lost
    with pytest.raises(ConnectionError):
        await line.call("echo")


async def test_who_dials_last_is_in_charge(process: Process, address: str, line: ControlLine) -> None:
    newer = await ControlLine.dial(address, "secret")
    async with asyncio.timeout(DEADLINE_S):
        while not line.lost:  # noqa: ASYNC110 - the line has no event for it
            await asyncio.sleep(0.01)
    assert await newer.call("echo", 2) == 2
    resting = asyncio.create_task(process.alone())
    await newer.call("echo")
    assert not resting.done()
    newer.hang_up()
    await resting


async def test_a_host_that_vanished_is_noticed_by_the_kernel_at_both_ends(process: Process, address: str) -> None:
    """Nobody sends anything on a line at rest: without keep-alive neither end would ever hear of it."""
    line = await ControlLine.dial(address, "secret")
    for end in (line._line.socket, process.desk._caller._transport.get_extra_info("socket")):
        assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        idle, every, times = (
            end.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
            for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
        )
        assert idle + every * times <= 9
    line.hang_up()


async def test_a_stranger_is_refused(address: str) -> None:
    with pytest.raises((OSError, TimeoutError)):
        await ControlLine.dial(address, "guessed")


async def test_a_dispatcher_may_not_call(process: Process, address: str) -> None:
    """The fleet's token, which every gateway has, drains no agent."""
    dispatcher = ControlLine(await dial(address, "token"))
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(DEADLINE_S):
            await dispatcher.call("echo", 1)


async def test_the_fleets_token_is_no_secret_of_a_process_without_a_desk() -> None:
    server = ChannelServer(token="token")
    address = await server.start()
    with pytest.raises((OSError, TimeoutError)):
        await ControlLine.dial(address, "secret")
    await server.close()

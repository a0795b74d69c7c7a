"""An agent's process: a Ray actor around a channel server and a runner.

Everything imported here is paid for by every agent. Ray itself is there
already; what only turns need is imported by the runner's factory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime

import ray

from ossa.channel.server import ChannelServer
from ossa.contracts.fleet import AgentInfo, AgentState
from ossa.contracts.task import Assignment
from ossa.contracts.turn import TurnRunner
from ossa.fleet.cluster import AgentReport, Birth
from ossa.fleet.memory_share import memory_share
from ossa.fleet.meters import AgentMeters, MeteredRunner

log = logging.getLogger(__name__)

TITLE_DELAY_S = 0.2

RunnerFactory = Callable[[Assignment], TurnRunner]
"""May have a method `warm()`: a standby calls it, so that what every agent needs is loaded before the assignment."""


class AgentActor:
    """Born as an agent, or as a standby that `assign` makes one.

    The creation fails with what the runner's factory raises, so that the
    controller sees why an agent does not start.
    """

    async def __init__(self, birth: Birth, runner_factory: RunnerFactory) -> None:  # type: ignore[misc]
        self._birth = birth
        self._runner_factory = runner_factory
        self._started_at = datetime.now(UTC)
        self._info: AgentInfo | None = None
        self._node_id = ray.get_runtime_context().get_node_id()
        self._server = ChannelServer(token=birth.token.get_secret_value(), host=_node_ip())
        self._address = await self._server.start()
        if birth.assignment is not None:
            await self.assign(birth.assignment)
        elif (warm := getattr(runner_factory, "warm", None)) is not None:
            warm()

    def __repr__(self) -> str:
        """Ray puts it before each log line and on the dashboard."""
        return self._info.agent_id if self._info else "standby"

    async def describe(self) -> AgentReport:
        self._show_name()
        return AgentReport(
            incarnation=self._birth.incarnation,
            block=self._birth.block,
            pid=os.getpid(),
            node_id=self._node_id,
            address=self._address,
            draining=self._server.draining,
            running=self._server.running,
            turns_total=self._server.turns_total,
            clock_s=time.monotonic(),
            cpu_s=time.process_time(),
            memory=memory_share(),
            info=self._info,
            started_at=self._started_at,
        )

    async def assign(self, assignment: Assignment) -> AgentInfo:
        """Become that agent. Asked again for the same assignment, answers the same. Raises what the factory raises."""
        spec = assignment.spec
        slots = spec.limits.max_concurrent_requests or self._birth.slots
        info = AgentInfo.of(
            assignment,
            incarnation=self._birth.incarnation,
            state=AgentState.READY,
            address=self._address,
            node_id=self._node_id,
            pid=os.getpid(),
            slots=slots,
            started_at=self._started_at,
        )
        runner = MeteredRunner(self._runner_factory(assignment), AgentMeters(info))
        self._server.set_runner(runner, slots=slots, agent_id=info.agent_id)
        self._info = info
        self._show_name()
        return info

    async def drain(self) -> None:
        """Take no more turns; returns when the running ones have ended."""
        await self._server.drain()

    async def wait_closed(self) -> None:
        """Never returns: the call fails when the process dies, which tells the caller at once."""
        self._show_name()
        await asyncio.Event().wait()

    def _show_name(self) -> None:
        """Put the agent's name into `ps` and the dashboard, after Ray has put the last method's there."""
        asyncio.get_running_loop().call_later(TITLE_DELAY_S, _set_title, repr(self))


def _node_ip() -> str:
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return address


def _set_title(name: str) -> None:
    with contextlib.suppress(AttributeError):
        ray._raylet.setproctitle(f"ray::ossa:{name}")  # type: ignore[attr-defined]

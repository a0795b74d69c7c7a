"""An agent's process: a Ray actor around a channel server and a runner.

Every agent pays for everything imported here. Ray itself is loaded already; the runner's factory imports what only
turns need.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import ray
from pydantic import SecretStr

from ossa.channel.control import Command, ControlDesk
from ossa.channel.server import ChannelServer
from ossa.contracts.fleet import AgentInfo, AgentState
from ossa.contracts.task import Assignment
from ossa.contracts.turn import TurnRunner
from ossa.contracts.value import Value
from ossa.fleet.cluster import AgentReport, LaunchSpec
from ossa.fleet.memory_share import memory_share
from ossa.fleet.meters import AgentMeters, MeteredRunner
from ossa.observability.logs import write_log_lines

log = logging.getLogger(__name__)

TITLE_DELAY_S = 0.2

RunnerFactory = Callable[[Assignment], TurnRunner]
"""Builds an agent's runner. A standby calls its `warm()`, if it has one, to load what every agent needs in advance."""


class Admission(Value):
    """Where and how a supervisor connects to the process."""

    address: str
    secret: SecretStr


class AgentActor:
    """Starts as an agent, or as a standby that becomes one.

    Creation fails with what the runner's factory raises, so that the controller sees why an agent does not start.

    Ray calls two methods: `admit` tells where the process listens, `serve` rests while its supervisor is connected. No
    method may be a coroutine: Ray would run them all on a loop beside the main thread, which then never rests.
    """

    def __init__(self, launch: LaunchSpec, runner_factory: RunnerFactory) -> None:
        write_log_lines()
        loop = _new_loop()
        threading.Thread(target=loop.run_forever, name="ossa-agent", daemon=True).start()
        self._loop = loop
        self._agent = _Agent(launch, runner_factory)
        asyncio.run_coroutine_threadsafe(self._agent.begin(), loop).result()

    def __repr__(self) -> str:
        """Ray shows this before each log line and on the dashboard."""
        return repr(self._agent)

    def admit(self) -> Admission:
        """Returns how to connect, once the process is up."""
        return self._agent.admission

    def serve(self) -> None:
        """Returns when no supervisor is connected. The call fails at once when the process dies."""
        self._loop.call_soon_threadsafe(self._agent.show_name)
        self._agent.desk.rest()


class _Agent:
    """The agent itself; everything runs on one event loop."""

    def __init__(self, launch: LaunchSpec, runner_factory: RunnerFactory) -> None:
        self._launch = launch
        self._runner_factory = runner_factory
        self._started_at = datetime.now(UTC)
        self._info: AgentInfo | None = None
        self._address = ""
        self._node_id = ray.get_runtime_context().get_node_id()
        self._secret = secrets.token_urlsafe(32)
        commands: dict[str, Command] = {"describe": self._describe, "assign": self._assign, "drain": self._drain}
        self.desk = ControlDesk(self._secret, commands)
        self._server = ChannelServer(token=launch.token.get_secret_value(), host=_node_ip(), desk=self.desk)

    def __repr__(self) -> str:
        return self._info.agent_id if self._info else "standby"

    async def begin(self) -> None:
        self._address = await self._server.start()
        if self._launch.assignment is not None:
            self._become(self._launch.assignment)
        elif (warm := getattr(self._runner_factory, "warm", None)) is not None:
            warm()

    @property
    def admission(self) -> Admission:
        return Admission(address=self._address, secret=SecretStr(self._secret))

    def show_name(self) -> None:
        """Shows the agent's name in `ps` and the dashboard, after Ray has set the last method's."""
        asyncio.get_running_loop().call_later(TITLE_DELAY_S, lambda: _set_title(repr(self)))

    async def _describe(self, _: Any) -> Any:
        report = AgentReport(
            incarnation=self._launch.incarnation,
            block=self._launch.block,
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
        return orjson.Fragment(report.model_dump_json())

    async def _assign(self, body: Any) -> Any:
        """Becomes the assigned agent. May be repeated. Raises what the factory raises."""
        info = self._become(Assignment.model_validate(body))
        self.show_name()
        return orjson.Fragment(info.model_dump_json())

    async def _drain(self, _: Any) -> None:
        """Takes no more turns. Returns when the running ones have ended."""
        await self._server.drain()

    def _become(self, assignment: Assignment) -> AgentInfo:
        spec = assignment.spec
        slots = spec.limits.max_concurrent_requests or self._launch.slots
        info = AgentInfo.of(
            assignment,
            incarnation=self._launch.incarnation,
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
        return info


def _new_loop() -> asyncio.AbstractEventLoop:
    """Returns a uvloop loop where that is installed, as Ray's own asyncio actors do."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _node_ip() -> str:
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return address


def _set_title(name: str) -> None:
    with contextlib.suppress(AttributeError):
        ray._raylet.setproctitle(f"ray::ossa:{name}")  # type: ignore[attr-defined]

"""What the controller needs from the cluster. `RayCluster` is the real one, `MemoryCluster` the fake."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from pydantic import Field, SecretStr

from ossa.contracts.fleet import AgentInfo
from ossa.contracts.task import Assignment
from ossa.contracts.value import Value


class LaunchSpec(Value):
    """What a process is started with. Without an assignment it is a standby.

    `slots` is the number of turns it runs at the same time, unless the manifest sets it.
    """

    incarnation: str
    block: str
    token: SecretStr
    slots: int = Field(default=4, ge=1)
    assignment: Assignment | None = None


class AgentReport(Value):
    """What a process reports about itself. `info` is None for a standby."""

    incarnation: str
    block: str
    pid: int
    node_id: str
    address: str
    draining: bool = False
    running: int = 0
    turns_total: int = 0
    clock_s: float = Field(default=0.0, description="the process's monotonic clock when `cpu_s` was read")
    cpu_s: float = 0.0
    memory: float | None = Field(default=None, description="share of its container's memory in use, else of its node's")
    info: AgentInfo | None = None
    started_at: datetime


class Capacity(Value):
    """Logical CPUs of the cluster."""

    cpus: float
    free: float


class BlockStatus(Value):
    """One placement group. `ready` is False while it waits for room or moves off a dead node."""

    name: str
    pool: str
    agents: int
    ready: bool


class ProcessGone(Exception):
    """Raised when the process is dead or cannot be reached. The message says how it ended."""


class ProcessHandle(Protocol):
    """Connection to one process. Calls raise `ProcessGone` when it is dead, `TimeoutError` when it is too slow."""

    incarnation: str
    place: str

    async def describe(self, timeout_s: float) -> AgentReport:
        """Answers once the process is up."""

    async def assign(self, assignment: Assignment, timeout_s: float) -> AgentInfo:
        """Turns a standby into that agent. Raises what building the agent raised."""

    async def drain(self, timeout_s: float) -> None:
        """Lets it take no more turns; returns when the running ones ended."""

    async def wait_closed(self) -> str:
        """Returns the reason as soon as the process is gone."""

    async def kill(self) -> None:
        """Ends it now. Never raises."""


class Cluster(Protocol):
    """Blocks and processes of one fleet. Calls raise `TimeoutError` or `ConnectionError` when Ray does not answer."""

    async def blocks(self) -> list[BlockStatus]: ...

    async def create_block(self, name: str, agents: int) -> None: ...

    async def remove_block(self, name: str) -> None: ...

    async def start(self, launch: LaunchSpec) -> ProcessHandle:
        """Starts a process; returns before it is up."""

    async def processes(self) -> Sequence[ProcessHandle]:
        """Returns all processes of the fleet, whoever started them."""

    async def capacity(self) -> Capacity: ...

    async def request_room(self, blocks: int) -> None:
        """Asks the autoscaler for room for so many whole blocks in all; 0 withdraws the request."""

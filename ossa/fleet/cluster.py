"""What the controller needs of the machinery below it. `RayCluster` is the real one, `MemoryCluster` the fake."""

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

    `slots` is how many turns it runs at once where the manifest sets none.
    """

    incarnation: str
    block: str
    token: SecretStr
    slots: int = Field(default=4, ge=1)
    assignment: Assignment | None = None


class AgentReport(Value):
    """What a process says of itself. `info` is None for a standby."""

    incarnation: str
    block: str
    pid: int
    node_id: str
    address: str
    draining: bool = False
    running: int = 0
    turns_total: int = 0
    clock_s: float = Field(default=0.0, description="its monotonic clock, and what it used of the CPU until then")
    cpu_s: float = 0.0
    memory: float | None = Field(default=None, description="share in use of its container's memory, else its node's")
    info: AgentInfo | None = None
    started_at: datetime


class Capacity(Value):
    """Logical CPUs of the cluster."""

    cpus: float
    free: float


class BlockStatus(Value):
    """One placement group of the fleet. `ready` is False while it waits for room or moves off a dead node."""

    name: str
    pool: str
    agents: int
    ready: bool


class ProcessGone(Exception):
    """The process is dead or out of reach. The message says how it ended."""


class ProcessHandle(Protocol):
    """A way to one process. Every call raises `ProcessGone` when it is dead, `TimeoutError` when it is too slow."""

    incarnation: str
    place: str

    async def describe(self, timeout_s: float) -> AgentReport:
        """Answers once the process is up."""

    async def assign(self, assignment: Assignment, timeout_s: float) -> AgentInfo:
        """Make a standby that agent. Raises what building the agent raised."""

    async def drain(self, timeout_s: float) -> None:
        """Take no more turns; returns when the running ones ended."""

    async def wait_closed(self) -> str:
        """Returns, with the reason, when the process is gone; at once when it dies."""

    async def kill(self) -> None:
        """End it now. Never raises."""


class Cluster(Protocol):
    """Blocks and processes of one fleet. Calls raise `TimeoutError` or `ConnectionError` when Ray does not answer."""

    async def blocks(self) -> list[BlockStatus]: ...

    async def create_block(self, name: str, agents: int) -> None: ...

    async def remove_block(self, name: str) -> None: ...

    async def start(self, launch: LaunchSpec) -> ProcessHandle:
        """Begin to start a process; returns before it is up."""

    async def processes(self) -> Sequence[ProcessHandle]:
        """All processes of the fleet, whoever started them."""

    async def capacity(self) -> Capacity: ...

    async def request_room(self, blocks: int) -> None:
        """Ask whoever adds nodes for room for so many whole blocks in all; 0 takes the request back."""

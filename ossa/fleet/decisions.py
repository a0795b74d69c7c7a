"""What reconciling can decide. The controller carries these out and decides nothing itself."""

from __future__ import annotations

from ossa.contracts.task import Assignment
from ossa.contracts.value import Value


class CreateBlock(Value):
    name: str
    pool: str
    agents: int


class RemoveBlock(Value):
    """Only ever an empty one."""

    name: str


class StartAgent(Value):
    block: str
    assignment: Assignment


class StartStandby(Value):
    block: str


class AssignStandby(Value):
    """Milliseconds. The process that held the agent's id before is drained once the new one is ready."""

    incarnation: str
    assignment: Assignment


class Drain(Value):
    """Running turns finish, then the process ends."""

    incarnation: str
    reason: str


class Kill(Value):
    """A process that runs no turns worth waiting for."""

    incarnation: str
    reason: str


Decision = CreateBlock | RemoveBlock | StartAgent | StartStandby | AssignStandby | Drain | Kill

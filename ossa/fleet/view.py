"""The fleet as it is, as far as deciding needs it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from pydantic import Field

from ossa.contracts.value import Value


class ProcessState(StrEnum):
    """STARTING covers a cold start and the milliseconds in which a standby takes an agent's place.

    DRAINING holds its place until the process is gone.
    """

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class ProcessView(Value):
    """One agent's process. `agent_id` is None for a standby; `since` is when it entered its state."""

    incarnation: str
    block: str
    state: ProcessState
    since: float
    agent_id: str | None = None
    pool: str = ""
    tenant: str | None = None
    digest: str = ""
    replace: bool = Field(default=False, description="somebody asked for a fresh process in its place")


class BlockView(Value):
    """One placement group. `agents` is how many fit; `since` is when it was first seen in this condition."""

    name: str
    pool: str
    agents: int
    ready: bool
    since: float = 0.0


class Failure(Value):
    """Why a place could not be filled, and when it is tried again."""

    count: int
    reason: str
    retry_at: float


class ActualFleet(Value):
    """`failures` are by agent id; those of standbys are under `standby`."""

    processes: tuple[ProcessView, ...] = ()
    blocks: tuple[BlockView, ...] = ()
    failures: Mapping[str, Failure] = Field(default_factory=dict)

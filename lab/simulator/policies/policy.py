"""The input and output of a policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ossa.contracts.scaling import PoolSample


@dataclass(frozen=True, slots=True)
class Seen:
    """`second` after the trace's start, and the same as a time; the newest sample last."""

    second: float
    at: datetime
    samples: Sequence[PoolSample]
    agents: int
    standby: int
    nodes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Agents and standbys to have from now on; `borrowed` of the agents are standbys; `nodes` to be ready for."""

    agents: int
    standby: int = 0
    borrowed: int = 0
    nodes: int = 0


class Policy(Protocol):
    @property
    def ceiling_on_miss(self) -> int:
        """Below so many agents, a task that finds none free starts one at once. 0: it waits for the next plan."""

    def plan(self, seen: Seen) -> Plan: ...

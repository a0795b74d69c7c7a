"""The simulated machine: start-up times and slots."""

from __future__ import annotations

from dataclasses import dataclass, field

from ossa.contracts.scaling import StartUp


@dataclass(frozen=True, slots=True)
class Machine:
    """An agent takes one turn at a time. `cpu_when_full`: the CPU share of an agent that is always at a turn.

    `node_keep_s`: how long a node without agents is kept.
    """

    start_up: StartUp = field(default_factory=StartUp)
    cpu_when_full: float = 0.8
    node_keep_s: float = 600.0
    max_nodes: int = 12

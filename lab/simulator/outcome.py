"""The result of a run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lab.simulator.trace import Floats

SPARE_SHARE = 0.2
SPARE_AGENTS = 2.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """`scale_events`: changes of the pool's size, without borrowed standbys. `starts`: processes started, standbys too.
    `planned`: agents the pool was told to have, borrowed standbys too, a minute each.
    """

    tasks: int
    cold_starts: int
    wait_p99_s: float
    idle_agent_hours: float
    scale_events: int
    node_hours: float
    planned: Floats
    needs: Floats
    starts: int = 0

    @property
    def spawn_accuracy(self) -> float:
        """Share of minutes in which the plan covered the need, with at most 20% of it or 2 agents to spare."""
        return float(np.mean(covered(self.planned, self.needs) & ~wasteful(self.planned, self.needs)))


def covered(planned: Floats, needs: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.asarray(planned >= needs)


def wasteful(planned: Floats, needs: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.asarray(planned - needs > np.maximum(SPARE_SHARE * needs, SPARE_AGENTS))

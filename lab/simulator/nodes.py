"""Nodes that come minutes after they are needed, and go when they were empty for a while."""

from __future__ import annotations

import math

from lab.simulator.machine import Machine


class Nodes:
    """Nodes as a count: agents fill one before the next. `hours` are node-hours so far, starting ones included."""

    def __init__(self, machine: Machine, up: int) -> None:
        self._machine = machine
        self._up = max(1, up)
        self._coming: list[float] = []
        self._spare_since: float | None = None
        self._at = 0.0
        self._seconds = 0.0

    @property
    def up(self) -> int:
        return self._up

    @property
    def hours(self) -> float:
        return self._seconds / 3600

    def settle(self, now: float, agents: int, wanted: int) -> None:
        """Bring nodes up to what agents fill or was asked for, and let one go that was not needed for long."""
        self._seconds += (self._up + len(self._coming)) * (now - self._at)
        self._at = now
        while self._coming and self._coming[0] <= now:
            self._coming.pop(0)
            self._up += 1
        needed = min(self._machine.max_nodes, max(self._for(agents), wanted, 1))
        while self._up + len(self._coming) < needed:
            self._coming.append(now + self._machine.start_up.node_s)
        if self._up <= needed:
            self._spare_since = None
        elif self._spare_since is None:
            self._spare_since = now
        elif now - self._spare_since >= self._machine.node_keep_s:
            self._up -= 1
            self._spare_since = now

    def ready_at(self, now: float, place: int) -> float:
        """When the node is up on which the agent with that number (from 1) stands. It is asked for where it is not."""
        missing = min(self._machine.max_nodes, self._for(place)) - self._up
        while len(self._coming) < missing:
            self._coming.append(now + self._machine.start_up.node_s)
        return now if missing <= 0 else max(now, self._coming[missing - 1])

    def _for(self, agents: int) -> int:
        return math.ceil(agents / self._machine.start_up.agents_per_node)

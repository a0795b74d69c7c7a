"""One pool of agents, from event to event, and the machine and nodes that it runs on."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from heapq import heappop, heappush

from lab.simulator.trace import Trace
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


class SimulatedPool:
    """Turns wait in one queue for the first free agent. Times are seconds from the trace's start.

    An agent that is to go ends its turn first. A task *met a cold start* when it found no free agent and waited; below
    `ceiling_on_miss` agents it starts one.
    """

    def __init__(self, trace: Trace, machine: Machine, agents: int, *, ceiling_on_miss: int = 0) -> None:
        self._arrivals = [*trace.arrivals.tolist(), float("inf")]
        self._durations = trace.durations.tolist()
        self._start_up = machine.start_up
        self._ceiling_on_miss = ceiling_on_miss
        self._next = 0
        self._idle = agents
        self._ends: list[float] = []
        self._starts: list[float] = []
        self._leaving = 0
        self._standby_starts: list[float] = []
        self._queue: deque[int] = deque()
        self._last = 0.0
        self._alive_s = 0.0
        self._busy_s = 0.0
        self.nodes = Nodes(machine, -(-agents // machine.start_up.agents_per_node))
        self.size = agents
        self.standby = 0
        self.arrived = 0
        self.missed = 0
        self.started_on_miss = 0
        self.started = 0
        self.waits: list[float] = []

    @property
    def running(self) -> int:
        return len(self._ends)

    @property
    def ready(self) -> int:
        """Agents that can take turns, those that leave not counted."""
        return max(0, self._idle + len(self._ends) - self._leaving)

    @property
    def starting(self) -> int:
        return max(0, self.size - self.ready)

    @property
    def leaving(self) -> int:
        return self._leaving

    @property
    def queued(self) -> int:
        return len(self._queue)

    @property
    def busy_s(self) -> float:
        """Agent-seconds at turns until now."""
        return self._busy_s

    @property
    def idle_hours(self) -> float:
        """Agent-hours, of standbys and starting agents too, in which no turn was run."""
        return (self._alive_s - self._busy_s) / 3600

    def oldest_wait(self, now: float) -> float:
        return now - self._arrivals[self._queue[0]] if self._queue else 0.0

    def advance(self, until: float) -> None:
        """All that happens before `until`."""
        while True:
            arrival = self._arrivals[self._next]
            end = self._ends[0] if self._ends else float("inf")
            start = self._starts[0] if self._starts else float("inf")
            now = min(arrival, end, start)
            if now >= until:
                break
            self._pass(now)
            if now == end:
                heappop(self._ends)
                self._free(now)
            elif now == start:
                heappop(self._starts)
                self._free(now)
            else:
                self._arrive(now)
        self._pass(until)

    def resize(self, now: float, size: int, standby: int, nodes: int) -> None:
        """Bring agents and standbys to these numbers; standbys that are up become agents first."""
        self.nodes.settle(now, size + standby, nodes)
        up = sorted(at for at in self._standby_starts if at <= now)
        while self.size < size:
            if up:
                self._standby_starts.remove(up.pop())
                self.standby -= 1
                heappush(self._starts, now + self._start_up.assign_s)
                self.size += 1
            else:
                self._start(now)
        if size < self.size:
            gone = min(self.size - size, self._idle)
            self._idle -= gone
            self._leaving += self.size - size - gone
            self.size = size
        while self.standby < standby:
            self.standby += 1
            self.started += 1
            self._standby_starts.append(self._up_at(now, self.size + self.standby))
        while self.standby > standby:
            self._standby_starts.remove(max(self._standby_starts))
            self.standby -= 1

    def _pass(self, now: float) -> None:
        passed = now - self._last
        self._alive_s += passed * (self._idle + len(self._ends) + len(self._starts) + self.standby)
        self._busy_s += passed * len(self._ends)
        self._last = now

    def _arrive(self, now: float) -> None:
        task = self._next
        self._next += 1
        self.arrived += 1
        if self._idle:
            self._idle -= 1
            self._begin(task, now)
            return
        self.missed += 1
        self._queue.append(task)
        if self.size < self._ceiling_on_miss:
            self._start(now)
            self.started_on_miss += 1

    def _free(self, now: float) -> None:
        """An agent ended its turn, or is up: it leaves, takes the next turn, or waits for one."""
        if self._leaving:
            self._leaving -= 1
        elif self._queue:
            self._begin(self._queue.popleft(), now)
        else:
            self._idle += 1

    def _begin(self, task: int, now: float) -> None:
        self.waits.append(now - self._arrivals[task])
        heappush(self._ends, now + self._durations[task])

    def _start(self, now: float) -> None:
        self.size += 1
        self.started += 1
        heappush(self._starts, self._up_at(now, self.size + self.standby))

    def _up_at(self, now: float, place: int) -> float:
        return self.nodes.ready_at(now, place) + self._start_up.agent_s

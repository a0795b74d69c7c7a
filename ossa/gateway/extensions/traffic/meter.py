"""Turns of a gateway replica, counted by pool for the scaler.

Which pool a turn belongs to:

- One that has an agent: to the agent's. A tenant's own agents are outside the pools' counts, and so are their turns.
- One that waits for `pool/NAME`: to that pool. For `agent/NAME`: to the pool that has the agent or manifest.
- One that waits for `auto`: nobody knows before an agent is free. All those are shared out over the pools as the `auto`
  turns that began lately; while there were none, by the turns at once that pools can take.

A turn arrives once, where its first agent is; at the end of a period in which it found none, where it waits.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from ossa.contracts.errors import FleetBusy, OssaError, error_types
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.scaling import MOST_TIMES, PoolTraffic, TrafficReport
from ossa.contracts.stores import Backlog
from ossa.contracts.task import NewTask, Outcome, Target, Task
from ossa.gateway.hooks import Run, TaskHook, TaskState
from ossa.gateway.metrics import POOLS
from ossa.observability import MetricGroup, counter, gauge, histogram
from ossa.routing import FleetIndex

WAIT_BUCKETS_S = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900)


class TrafficMetrics(MetricGroup):
    wait = histogram(
        "ossa_gateway_queue_wait_seconds",
        "Until a turn began, by the pool of its agent",
        buckets=WAIT_BUCKETS_S,
        pool=POOLS,
    )
    waiting = gauge("ossa_gateway_waiting_turns", "Turns here that wait for an agent; * is auto", pool=POOLS)
    reports = counter("ossa_gateway_traffic_reports_total", "To the scaler, by outcome", outcome=("sent", "failed"))

    def show_waiting(self, waiting: Mapping[str, int]) -> None:
        self.waiting.clear()
        for pool, count in waiting.items():
            self.waiting.labels(pool).set(count)


FAILURES = frozenset({FleetBusy.code, *(code for code, error in error_types().items() if error.status >= 500)})
"""Ends that were not the caller's doing. `fleet_busy`: nobody became free in time."""

LATELY = 0.5
"""What the `auto` turns of a period count for in the shares of the next one."""

Place = str | Target | None
"""A pool; before there is an agent what is waited for; None: outside the pools."""


class MeteredTurn:
    """One task's turn, as this replica sees it. What is said again changes nothing."""

    __slots__ = (
        "_arrived", "_asked_at", "_began_at", "_meter", "_place", "_ran", "_turn_s", "_wait_s", "_wait_told",
        "state", "target", "task_id",
    )  # fmt: skip

    def __init__(self, meter: TrafficMeter, task_id: str, target: Target, *, asked_at: float, known: bool) -> None:
        self.task_id = task_id
        self.target = target
        self.state: Literal["waiting", "running", "between"] = "waiting"
        self._meter = meter
        self._place: Place = target
        self._asked_at = asked_at
        self._began_at = 0.0
        self._wait_s = 0.0
        self._turn_s = 0.0
        self._ran = False
        self._wait_told = False
        self._arrived = known

    def began(self, agent: AgentInfo) -> None:
        """It has a seat at this agent."""
        if self.state == "running":
            return
        now = self._meter.clock()
        self._place = agent.pool if agent.tenant is None else None
        self.state, self._ran, self._began_at = "running", True, now
        if not self._wait_told:
            self._wait_s = now - self._asked_at
        self.arrived()
        self._meter.at(self._place).run(+1, now)

    def turned_away(self) -> None:
        """The agent was full: it still waits to begin."""
        self._stop("waiting")

    def left(self) -> None:
        """The agent has done its part, or was lost."""
        if self.state == "running":
            self._stop("between")
            self.tell_wait()

    def waits(self) -> None:
        """For another agent."""
        if self.state == "between":
            self.state = "waiting"

    def ended(self, outcome: Outcome) -> None:
        self._end("" if outcome.error is None else outcome.error.code)

    def refused(self, code: str) -> None:
        """It got no agent. One that was a mistake was no turn."""
        if code in FAILURES:
            self._end(code)
        else:
            self._meter.forget(self)

    def gone(self) -> None:
        """Given up by who asked for it, or another replica's now: nothing is told of its end."""
        self.left()
        self.arrived()
        self._meter.forget(self)

    def arrived(self) -> None:
        if not self._arrived:
            self._arrived = True
            self._meter.arrived(self._place, self.target)

    def tell_wait(self) -> None:
        """Once it is sure that it has begun."""
        if self._ran and not self._wait_told:
            self._wait_told = True
            self._meter.waited(self._place, self._wait_s)

    def begun_before(self) -> None:
        """Under another owner, who told of its wait."""
        self._wait_told = True

    def _stop(self, state: Literal["waiting", "between"]) -> None:
        if self.state == "running":
            now = self._meter.clock()
            self._turn_s += now - self._began_at
            self._meter.at(self._place).run(-1, now)
            self.state = state

    def _end(self, code: str) -> None:
        self.left()
        self.arrived()
        counts = self._meter.at(self._place)
        if code in FAILURES:
            counts.failed += 1
        else:
            counts.well += 1
        if self._ran:
            counts.turns_s.append(self._turn_s)
        self._meter.forget(self)


class TrafficMeter:
    """One a replica, on one event loop.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float], metrics: TrafficMetrics | None = None) -> None:
        self.clock = clock
        self._metrics = metrics
        self._turns: dict[str, MeteredTurn] = {}
        self._counts: dict[Place, TurnCounts] = defaultdict(TurnCounts)
        self._auto: dict[str, float] = defaultdict(float)
        self._since = clock()

    # Turns

    def asked(self, task_id: str, target: Target) -> None:
        """A synchronous request waits for its first agent."""
        self._add(MeteredTurn(self, task_id, target, asked_at=self.clock(), known=False))

    def dropped(self, task_id: str, code: str) -> None:
        """It does not run here: refused with an error's code, or (empty) given up by its client."""
        turn = self._turns.get(task_id)
        if turn is not None and code:
            turn.refused(code)
        elif turn is not None:
            turn.gone()

    def queued(self, target: Target) -> None:
        """A task was accepted that any replica may claim."""
        self.arrived(target, target)

    def claimed(self, task: Task) -> None:
        """A task that arrived earlier is this replica's now; what it waited in the journal counts where it was free."""
        waited_s = max(0.0, (task.updated_at - task.created_at).total_seconds())
        turn = MeteredTurn(self, task.id, task.request.target, asked_at=self.clock() - waited_s, known=True)
        if task.attempts > 1:
            turn.begun_before()
        self._add(turn)

    def of(self, task: Task) -> MeteredTurn:
        """The turn of a task that runs here."""
        known = self._turns.get(task.id)
        return known or self._add(MeteredTurn(self, task.id, task.request.target, asked_at=self.clock(), known=False))

    def waiting(self, index: FleetIndex) -> Counter[str]:
        """Turns of this replica that wait for an agent, by pool; those of `auto` under `ANY`."""
        found: Counter[str] = Counter()
        for target, count in Counter(turn.target for turn in self._turns.values() if turn.state == "waiting").items():
            pool = pool_of(target, index)
            if pool is not None:
                found[pool] += count
        return found

    # Reports

    def report(self, replica: str, index: FleetIndex, backlog: Sequence[Backlog] = ()) -> TrafficReport:
        """What happened since the last report. `backlog` waits in the journal, and is this replica's to tell."""
        now = self.clock()
        seconds, self._since = max(now - self._since, 1e-6), now
        for turn in self._turns.values():
            turn.arrived()
            if turn.state == "running":
                turn.tell_wait()
        found = self._by_pool(index, now)
        for one in backlog:
            pool = pool_of(one.target, index)
            if pool is not None:
                found[pool].queued += one.tasks
        for pool, waiting in self.waiting(index).items():
            found[pool].queued += waiting
        return TrafficReport(replica=replica, seconds=seconds, pools=self._shared_out(found, index))

    def _by_pool(self, index: FleetIndex, now: float) -> dict[str, TurnCounts]:
        found: dict[str, TurnCounts] = defaultdict(TurnCounts)
        for place, counts in list(self._counts.items()):
            pool = pool_of(place, index) if isinstance(place, Target) else place
            if pool is not None:
                counts.move_to(found[pool], now)
            if not counts.running:  # what nobody waits for or runs is kept no longer: names are the callers' choice
                del self._counts[place]
        return found

    def _shared_out(self, found: dict[str, TurnCounts], index: FleetIndex) -> tuple[PoolTraffic, ...]:
        """What is any pool's becomes some pool's."""
        lately = {pool: count for pool, count in self._auto.items() if pool in index.by_pool}
        weights = lately or places_of(index)
        anybodys = found.pop(ANY, TurnCounts())
        for name in ("arrivals", "well", "failed", "queued"):
            for pool, share in split(getattr(anybodys, name), weights).items():
                if share:
                    setattr(found[pool], name, getattr(found[pool], name) + share)
        self._auto = defaultdict(float, {pool: count * LATELY for pool, count in lately.items() if count > 0.01})
        return tuple(counts.traffic(pool) for pool, counts in sorted(found.items()))

    # What turns tell

    def at(self, place: Place) -> TurnCounts:
        return self._counts[place]

    def arrived(self, place: Place, target: Target) -> None:
        self._counts[place].arrivals += 1
        if target.kind == "auto" and isinstance(place, str):
            self._auto[place] += 1

    def waited(self, place: Place, seconds: float) -> None:
        self._counts[place].waits_s.append(seconds)
        if self._metrics is not None and isinstance(place, str):
            self._metrics.wait.labels(place).observe(seconds)

    def forget(self, turn: MeteredTurn) -> None:
        if self._turns.get(turn.task_id) is turn:
            del self._turns[turn.task_id]

    def _add(self, turn: MeteredTurn) -> MeteredTurn:
        self._turns[turn.task_id] = turn
        return turn


MOST_KEPT = 8192
"""Times that one period keeps, the latest ones."""


class TurnCounts:
    """Seconds are those of the caller's clock. `well` and `failed` are ends."""

    __slots__ = ("_running_s", "_since", "arrivals", "failed", "queued", "running", "turns_s", "waits_s", "well")

    def __init__(self) -> None:
        self.running = 0
        self._since = 0.0
        self._clear()

    def _clear(self) -> None:
        self.arrivals = 0
        self.well = 0
        self.failed = 0
        self.queued = 0
        self.waits_s: deque[float] = deque(maxlen=MOST_KEPT)
        self.turns_s: deque[float] = deque(maxlen=MOST_KEPT)
        self._running_s = 0.0

    def run(self, change: int, now: float) -> None:
        """So many turns more (or fewer) at once from now on."""
        self._running_s += self.running * (now - self._since)
        self._since = now
        self.running += change

    def traffic(self, pool: str) -> PoolTraffic:
        return PoolTraffic(
            pool=pool,
            arrivals=self.arrivals,
            ended=self.well + self.failed,
            failed=self.failed,
            running_s=self._running_s,
            queued=self.queued,
            waits_s=thinned(self.waits_s),
            turns_s=thinned(self.turns_s),
        )

    def move_to(self, other: TurnCounts, now: float) -> None:
        """All of the period that ends now. What runs goes on here."""
        self.run(0, now)
        other.arrivals += self.arrivals
        other.well += self.well
        other.failed += self.failed
        other.queued += self.queued
        other.waits_s.extend(self.waits_s)
        other.turns_s.extend(self.turns_s)
        other._running_s += self._running_s
        self._clear()


def thinned(times: Iterable[float]) -> tuple[float, ...]:
    """At most `MOST_TIMES` of them, ascending, evenly taken by rank: their quantiles stay where they are."""
    ranked = sorted(times)
    if len(ranked) <= MOST_TIMES:
        return tuple(ranked)
    last = len(ranked) - 1
    return tuple(ranked[round(rank * last / (MOST_TIMES - 1))] for rank in range(MOST_TIMES))


ANY = "*"
"""In a pool's place, of turns that go wherever routing says; no pool's name."""


def pool_of(target: Target, index: FleetIndex) -> str | None:
    """`ANY` where routing will say. None: nothing of that name, or a tenant's own agent."""
    if target.kind == "auto":
        return ANY
    if target.kind == "pool":
        return index.pool_named(target.name)
    groups = [index.groups[position] for position in index.by_name.get(target.name, ())]
    return next((group.pool for group in groups if group.tenant is None), None)


def places_of(index: FleetIndex) -> dict[str, int]:
    """Turns at once that each pool's ready agents take; 1 each while there are none at all."""
    found = dict.fromkeys(index.by_pool, 0)
    for group in index.groups:
        if group.tenant is None:
            found[group.pool] += sum(slots for *_, slots in group.ready)
    return found if any(found.values()) else dict.fromkeys(found, 1)


def split(count: int, weights: Mapping[str, float]) -> dict[str, int]:
    """`count` shared out by weights, by the largest remainder; none of it is lost while a weight is above 0."""
    total = sum(weights.values())
    if count <= 0 or total <= 0:
        return {}
    exact = {name: count * weight / total for name, weight in weights.items()}
    found = {name: int(share) for name, share in exact.items()}
    by_remainder = sorted(exact, key=lambda name: found[name] - exact[name])
    for name in by_remainder[: count - sum(found.values())]:
        found[name] += 1
    return found


class TrafficHook(TaskHook):
    """Tells the meter what becomes of each task."""

    def __init__(self, meter: TrafficMeter) -> None:
        self._meter = meter
        self._turns: dict[Run, MeteredTurn] = {}

    def moved(
        self, state: TaskState, task: NewTask | Task, run: Run | None = None, error: OssaError | None = None
    ) -> None:
        if run is not None:
            self._run_moved(state, run)
        elif state == "asked":
            self._meter.asked(task.id, task.request.target)
        elif state == "dropped":
            self._meter.dropped(task.id, "" if error is None else error.code)
        elif state == "queued":
            self._meter.queued(task.request.target)
        elif state == "claimed" and isinstance(task, Task):
            self._meter.claimed(task)

    def _run_moved(self, state: TaskState, run: Run) -> None:
        if state == "opened":
            self._turns[run] = self._meter.of(run.task)
            return
        turn = self._turns[run]
        if state == "waiting":
            turn.waits()
        elif state == "scheduled" and run.agent is not None:
            turn.began(run.agent)
        elif state == "busy":
            turn.turned_away()
        elif state == "left":
            turn.left()

    def ended(self, run: Run, outcome: Outcome) -> None:
        self._turns[run].ended(outcome)

    def closed(self, run: Run) -> None:
        self._turns.pop(run).gone()

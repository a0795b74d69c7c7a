"""A trace through a policy: every ten seconds it is shown what a real scaler would see, and its plan is carried out.

`Outcome` is the result of a run.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from lab.simulator.policies.policy import Plan, Policy, Seen
from lab.simulator.pool import Machine, SimulatedPool
from lab.simulator.trace import MINUTE_S, Floats, Trace
from ossa.contracts.scaling import SAMPLE_S, PoolSample

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


POOL = "trace"
REMEMBERED = 40
"""Samples that a policy is shown."""


def simulate(trace: Trace, policy: Policy, machine: Machine, *, agents: int) -> Outcome:
    """Run the whole trace. `agents` are up at its start, the same for every policy that is compared."""
    pool = SimulatedPool(trace, machine, agents, ceiling_on_miss=policy.ceiling_on_miss)
    samples: deque[PoolSample] = deque(maxlen=REMEMBERED)
    plan = Plan(agents)
    planned: list[int] = []
    events, borrowed = 0, 0
    per_minute = round(MINUTE_S / SAMPLE_S)
    for step in range(1, round(trace.seconds / SAMPLE_S) + 1):
        now = step * SAMPLE_S
        planned.append(pool.size)
        samples.append(_sample(pool, trace, now, machine))
        plan = policy.plan(Seen(now, samples[-1].at, samples, pool.size, pool.standby, pool.nodes.up))
        before, borrowed = pool.size - borrowed, plan.borrowed
        events += plan.agents - borrowed != before
        pool.resize(now, plan.agents, plan.standby, plan.nodes)
    waits = pool.waits + [pool.oldest_wait(trace.seconds)] * pool.queued
    return Outcome(
        tasks=pool.arrived,
        cold_starts=pool.missed,
        wait_p99_s=float(np.quantile(waits, 0.99)) if waits else 0.0,
        idle_agent_hours=pool.idle_hours,
        scale_events=events + pool.started_on_miss,
        node_hours=pool.nodes.hours,
        starts=pool.started,
        planned=np.asarray(planned, dtype=float).reshape(-1, per_minute).mean(axis=1),
        needs=trace.needs(),
    )


def _sample(pool: SimulatedPool, trace: Trace, now: float, machine: Machine) -> PoolSample:
    arrived, busy = pool.arrived, pool.busy_s
    pool.advance(now)
    running = (pool.busy_s - busy) / SAMPLE_S
    ready = pool.ready
    return PoolSample(
        pool=POOL,
        at=trace.start + timedelta(seconds=now),
        arrivals=pool.arrived - arrived,
        running=running,
        queued=pool.queued,
        queue_wait_s=pool.oldest_wait(now),
        cpu=min(1.0, running / ready) * machine.cpu_when_full if ready else None,
        agents=ready,
        starting=pool.starting,
        draining=pool.leaving,
    )

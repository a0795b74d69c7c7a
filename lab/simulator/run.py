"""A trace through a policy: every ten seconds it is shown what a real scaler would see, and its plan is carried out."""

from __future__ import annotations

from collections import deque
from datetime import timedelta

import numpy as np

from lab.simulator.machine import Machine
from lab.simulator.outcome import Outcome
from lab.simulator.policies.policy import Plan, Policy, Seen
from lab.simulator.pool import SimulatedPool
from lab.simulator.trace import MINUTE_S, Trace
from ossa.contracts.scaling import SAMPLE_S, PoolSample

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

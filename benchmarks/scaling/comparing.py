"""Every policy over one series, in the same simulated fleet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.scaling.forecasters import Maker
from lab.simulator import Machine, Outcome, Trace, simulate
from lab.simulator.policies.baselines import HybridHistogram, Oracle, Reactive, Seasonal, peaks_by_step
from lab.simulator.policies.ours import Ours
from lab.simulator.policies.policy import Policy
from lab.simulator.run import POOL
from lab.simulator.trace import from_counts, from_events
from lab.traces.forms import Counts, Series
from ossa.contracts.scaling import PoolBounds, ScaleRules

OURS = "ossa"
RULES_ALONE = "ossa_rules_alone"
BASELINES = ("hpa", "seasonal_naive", "hybrid_histogram")
ORACLE = "oracle"
FLOOR, CEILING = 1, 250

PEAK_AGENTS = 120.0
"""What a series of counts is made to need in its 99th percentile minute: it says nothing of durations."""

START_STEPS = 60
MOST_TASKS = 120_000
SMALL = 20.0
"""A pool that never needs so many agents has blocks of one."""


def trace_of(series: Series, *, days: float, part: str, seed: int) -> Trace:
    """The part that is measured, with all before it as the past.

    test: the last `days`, at most half of the series. dev: as much before that, at most a third of the series.
    """
    share = 1 / 2 if part == "test" else 1 / 3
    if isinstance(series, Counts):
        steps = len(series.values)
        held = min(int(days * 86_400 / series.step_s), steps // 2)
        length = min(held, int(steps * share))
        last = steps if part == "test" else steps - held
        peak = max(1e-9, float(np.quantile(series.values, 0.99)))
        return from_counts(
            series.name,
            series.start,
            series.values,
            series.step_s,
            first=max(0, last - length),
            last=last,
            mean_s=PEAK_AGENTS * series.step_s / peak,
            seed=seed,
            most_tasks=MOST_TASKS,
        )
    seconds = float(series.arrivals.max()) + 1
    held_s = min(days * 86_400, seconds / 2)
    length_s = min(held_s, seconds * share)
    last_s = seconds if part == "test" else seconds - held_s
    kept = series.arrivals < last_s
    return from_events(
        series.name,
        series.start,
        series.arrivals[kept],
        series.durations[kept],
        first_s=max(0.0, last_s - length_s),
    )


def rules_of(trace: Trace) -> ScaleRules:
    """The mission's rules for one pool of a larger fleet: the fleet's floor is the other pools'."""
    block = 1 if trace.needs().max() < SMALL else ScaleRules().block_agents
    bounds = PoolBounds(floor=FLOOR, ceiling=CEILING)
    return ScaleRules(fleet_floor=0, fleet_ceiling=CEILING, block_agents=block, pools={POOL: bounds})


def policies(trace: Trace, machine: Machine, forecaster: Maker) -> Iterator[tuple[str, Policy]]:
    rules = rules_of(trace)
    yield OURS, Ours(rules, machine, forecaster(trace), trace)
    yield RULES_ALONE, Ours(rules, machine, None, trace)
    yield "hpa", Reactive(FLOOR, CEILING)
    yield "seasonal_naive", Seasonal(trace.past_by_minute().mean(axis=1), trace.needs(), FLOOR, CEILING)
    yield "hybrid_histogram", HybridHistogram(FLOOR, CEILING)
    yield ORACLE, Oracle(trace, machine, FLOOR, CEILING)


def compare(trace: Trace, forecaster: Maker) -> Iterator[tuple[str, Outcome]]:
    """One outcome a policy. All start with the agents that the first ten minutes need at most."""
    machine = Machine()
    agents = max(FLOOR, min(CEILING, int(peaks_by_step(trace)[:START_STEPS].max())))
    for name, policy in policies(trace, machine, forecaster):
        yield name, simulate(trace, policy, machine, agents=agents)


def row(trace: Trace, policy: str, outcome: Outcome) -> dict[str, Any]:
    return {
        "series": trace.name,
        "policy": policy,
        "tasks": outcome.tasks,
        "cold_starts": outcome.cold_starts,
        "wait_p99_s": round(outcome.wait_p99_s, 2),
        "idle_agent_hours": round(outcome.idle_agent_hours, 2),
        "scale_events": outcome.scale_events,
        "starts": outcome.starts,
        "spawn_accuracy": round(outcome.spawn_accuracy, 4),
        "node_hours": round(outcome.node_hours, 1),
    }

"""Whole runs: what a policy is shown, what comes of it, and that it is the same each time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from lab.simulator import Machine, Outcome, Trace, simulate
from lab.simulator.forecaster import SmoothingForecaster
from lab.simulator.policies.baselines import HybridHistogram, Oracle, Reactive, Seasonal, peaks_by_step
from lab.simulator.policies.ours import Ours
from lab.simulator.policies.policy import Plan, Policy, Seen
from lab.simulator.trace import concurrency, from_counts, from_events
from ossa.contracts.scaling import SAMPLE_S, ScaleRules

START = datetime(2026, 1, 5, tzinfo=UTC)
MACHINE = Machine()
RULES = ScaleRules(fleet_floor=0)


def waves(minutes: int = 240, seed: int = 7, most_tasks: int = 1_000_000) -> Trace:
    """An hour's wave between 10 and 50 turns at once, an hour of past before it."""
    counts = np.round(60 + 40 * np.sin(np.arange(minutes) * 2 * np.pi / 60))
    return from_counts(
        "waves", START, counts, 60.0, first=60, last=minutes, mean_s=30.0, seed=seed, most_tasks=most_tasks
    )


def run(policy: Policy, trace: Trace, agents: int = 35) -> Outcome:
    return simulate(trace, policy, MACHINE, agents=agents)


class Fixed:
    """Always the same plan; keeps what it was shown."""

    ceiling_on_miss = 0

    def __init__(self, agents: int) -> None:
        self._agents = agents
        self.seen: list[Seen] = []

    def plan(self, seen: Seen) -> Plan:
        self.seen.append(replace(seen, samples=tuple(seen.samples)))
        return Plan(self._agents)


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    def figures(seed: int) -> tuple[int, float, float]:
        trace = waves(minutes=120, seed=seed)
        outcome = run(Ours(RULES, MACHINE, SmoothingForecaster(), trace), trace)
        return outcome.cold_starts, outcome.idle_agent_hours, outcome.wait_p99_s

    assert figures(7) == figures(7)
    assert figures(7) != figures(8)


def test_a_policy_sees_samples_that_end_now_and_nothing_later() -> None:
    trace, policy = waves(), Fixed(60)
    outcome = run(policy, trace)
    assert all(seen.samples[-1].at == seen.at for seen in policy.seen)
    assert [seen.second for seen in policy.seen[:3]] == [SAMPLE_S, 2 * SAMPLE_S, 3 * SAMPLE_S]
    assert sum(seen.samples[-1].arrivals for seen in policy.seen) == outcome.tasks == len(trace.arrivals)


def test_enough_agents_mean_no_cold_start_and_too_few_mean_a_queue() -> None:
    trace = waves()
    plenty, few = run(Fixed(120), trace, agents=120), run(Fixed(20), trace, agents=20)
    assert plenty.cold_starts == 0 and plenty.wait_p99_s == 0
    assert few.cold_starts > 0.5 * few.tasks and few.wait_p99_s > 60


def test_idle_hours_are_what_was_paid_for_less_what_was_used() -> None:
    trace = waves()
    used = concurrency(trace.arrivals, trace.durations, trace.seconds).sum() / 60
    assert run(Fixed(120), trace, agents=120).idle_agent_hours == pytest.approx(120 * trace.seconds / 3600 - used)


def test_the_oracle_has_no_cold_start_and_the_fewest_idle_hours() -> None:
    trace = waves()
    agents = int(peaks_by_step(trace)[:60].max())
    best = run(Oracle(trace, MACHINE, 1, 250), trace, agents)
    means = trace.past_by_minute().mean(axis=1)
    others = (Reactive(1, 250), Seasonal(means, trace.needs(), 1, 250), HybridHistogram(1, 250))
    assert best.cold_starts == 0
    for policy in (*others, Ours(RULES, MACHINE, SmoothingForecaster(), trace)):
        assert run(policy, trace, agents).idle_agent_hours > best.idle_agent_hours


def test_ours_keeps_to_its_ceiling_whatever_comes() -> None:
    trace = waves()
    low = RULES.model_copy(update={"fleet_ceiling": 40})
    outcome = run(Ours(low, MACHINE, SmoothingForecaster(), trace), trace)
    assert outcome.planned.max() <= 40


def test_ours_without_a_forecaster_still_follows_the_load() -> None:
    trace = waves()
    outcome = run(Ours(RULES, MACHINE, None, trace), trace, agents=10)
    assert outcome.cold_starts < 0.5 * outcome.tasks
    assert outcome.wait_p99_s < 300


def test_many_tasks_are_thinned_to_fewer_longer_ones_with_the_same_need() -> None:
    whole, thinned = waves(), waves(most_tasks=2_000)
    assert len(thinned.arrivals) <= 2_000 < len(whole.arrivals)
    assert thinned.needs()[5:].mean() == pytest.approx(whole.needs()[5:].mean(), rel=0.05)


def test_events_before_the_start_are_the_past() -> None:
    trace = from_events("e", START, np.asarray([0.0, 90.0, 130.0]), np.asarray([60.0, 10.0, 5.0]), first_s=120.0)
    assert trace.past_by_minute().mean(axis=1).tolist() == [1.0, pytest.approx(1 / 6)]
    assert trace.arrivals.tolist() == [10.0]


def test_need_is_the_mean_of_turns_at_once() -> None:
    found = concurrency(np.asarray([0.0, 30.0]), np.asarray([90.0, 15.0]), 120.0)
    assert found.tolist() == [pytest.approx(1.25), pytest.approx(0.5)]


def test_spawn_accuracy_allows_a_fifth_or_two_agents_to_spare() -> None:
    needs = np.asarray([3.0, 3.0, 100.0, 100.0, 100.0])
    planned = np.asarray([5.0, 6.0, 120.0, 121.0, 99.0])
    assert Outcome(0, 0, 0.0, 0.0, 0, 0.0, planned, needs).spawn_accuracy == pytest.approx(2 / 5)


def test_a_forecast_band_holds_what_comes_of_a_noisy_level() -> None:
    rng = np.random.default_rng(7)
    forecaster, inside = SmoothingForecaster(), []
    for need in rng.normal(50, 5, 1_500).tolist():
        made = forecaster.forecast("pool", START)
        if made and len(inside) < 1_500:
            inside.append(made[0].quantiles[0.05] <= need <= made[0].quantiles[0.95])
        forecaster.observe(need)
    assert 0.86 < np.mean(inside[300:]) < 0.94


def test_the_reactive_baseline_comes_to_seventy_percent() -> None:
    flat = from_counts(
        "flat", START, np.full(180, 120.0), 60.0, first=60, last=180, mean_s=30.0, seed=7, most_tasks=10**6
    )
    outcome = run(Reactive(1, 250), flat, agents=60)
    assert 60 / 0.8 <= outcome.planned[-30:].mean() <= 60 / 0.6


def test_keep_alive_holds_an_agent_as_long_as_its_idle_times_were() -> None:
    every = np.arange(0.0, 60_000.0, 1_200.0)
    trace = from_events("rare", START, every, np.full(len(every), 5.0), first_s=0.0)
    outcome = run(HybridHistogram(0, 10), trace, agents=0)
    assert outcome.cold_starts < 15
    assert outcome.idle_agent_hours < 0.7 * trace.seconds / 3600

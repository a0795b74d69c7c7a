"""The simulated pool, on arrivals that can be followed by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.simulator.pool import Machine, SimulatedPool
from lab.simulator.trace import Trace
from ossa.contracts.scaling import StartUp

START = datetime(2026, 1, 5, tzinfo=UTC)
MACHINE = Machine(StartUp(agent_s=4.0, assign_s=0.05, node_s=150.0, agents_per_node=2))


def trace(*tasks: tuple[float, float], seconds: float = 600.0) -> Trace:
    arrivals, durations = np.asarray(tasks, dtype=float).reshape(-1, 2).T
    return Trace("made", START, seconds, arrivals, durations, np.zeros(0))


def test_a_task_that_finds_a_free_agent_waits_for_nothing() -> None:
    pool = SimulatedPool(trace((1.0, 5.0), (7.0, 5.0)), MACHINE, 1)
    pool.advance(20.0)
    assert (pool.arrived, pool.missed, pool.waits) == (2, 0, [0.0, 0.0])
    assert pool.idle_hours * 3600 == pytest.approx(10.0)


def test_a_task_that_finds_none_waits_for_the_first_that_is_free() -> None:
    pool = SimulatedPool(trace((1.0, 5.0), (2.0, 1.0)), MACHINE, 1)
    pool.advance(20.0)
    assert (pool.missed, pool.waits) == (1, [0.0, 4.0])


def test_a_cold_agent_takes_its_start_up_time_and_counts_as_idle_meanwhile() -> None:
    pool = SimulatedPool(trace((1.0, 50.0), (2.0, 1.0)), MACHINE, 1)
    pool.advance(10.0)
    pool.resize(10.0, 2, 0, 0)
    assert pool.starting == 1
    pool.advance(20.0)
    assert pool.waits == [0.0, pytest.approx(12.0)]
    assert pool.idle_hours * 3600 == pytest.approx(1.0 + 4.0 + 5.0)


def test_a_standby_takes_over_in_a_twentieth_of_a_second() -> None:
    pool = SimulatedPool(trace((8.0, 50.0), (9.0, 1.0)), MACHINE, 1)
    pool.resize(0.0, 1, 1, 0)
    pool.advance(10.0)
    pool.resize(10.0, 2, 0, 0)
    pool.advance(20.0)
    assert pool.waits == [0.0, pytest.approx(1.05)]


def test_an_agent_past_the_nodes_room_waits_for_a_node() -> None:
    pool = SimulatedPool(trace((1.0, 500.0), (1.0, 500.0), (2.0, 1.0)), MACHINE, 2)
    pool.advance(10.0)
    pool.resize(10.0, 3, 0, 0)
    pool.advance(400.0)
    assert pool.waits[2] == pytest.approx(8.0 + 150.0 + 4.0)
    assert pool.nodes.up == 1  # counted at the next look


def test_a_node_that_was_asked_for_early_is_there() -> None:
    pool = SimulatedPool(trace((1.0, 500.0), (1.0, 500.0), (195.0, 1.0)), MACHINE, 2)
    pool.resize(0.0, 2, 0, 2)
    pool.advance(200.0)
    pool.resize(200.0, 3, 0, 0)
    pool.advance(400.0)
    assert pool.waits[2] == pytest.approx(9.0)


def test_an_agent_that_is_to_go_ends_its_turn() -> None:
    pool = SimulatedPool(trace((1.0, 50.0), (2.0, 50.0)), MACHINE, 2)
    pool.advance(10.0)
    pool.resize(10.0, 1, 0, 0)
    assert (pool.running, pool.ready) == (2, 1)
    pool.advance(100.0)
    assert (pool.running, pool.ready, pool.waits) == (0, 1, [0.0, 0.0])


def test_a_miss_starts_an_agent_where_the_policy_says_so() -> None:
    pool = SimulatedPool(trace((1.0, 50.0), (2.0, 1.0), (2.5, 1.0)), MACHINE, 1, ceiling_on_miss=2)
    pool.advance(20.0)
    assert (pool.size, pool.started_on_miss, pool.waits[1]) == (2, 1, 4.0)


tasks = st.lists(st.tuples(st.floats(0, 500), st.floats(0.1, 60)), min_size=1, max_size=40)
plans = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), min_size=60, max_size=60)


@given(tasks, plans)
def test_no_task_and_no_agent_is_lost_whatever_the_plan(
    made: list[tuple[float, float]], plan: list[tuple[int, int]]
) -> None:
    one = trace(*sorted(made))
    pool = SimulatedPool(one, MACHINE, 1)
    for step, (agents, standby) in enumerate(plan):
        now = 10.0 * (step + 1)
        pool.advance(now)
        assert pool.arrived == len(pool.waits) + pool.queued
        assert pool.ready <= pool.size
        pool.resize(now, agents, standby, 0)
        assert (pool.size, pool.standby) == (agents, standby)
    pool.resize(600.0, 12, 0, 6)
    pool.advance(5_000.0)
    assert len(pool.waits) == len(made)
    assert pool.busy_s == pytest.approx(sum(duration for _, duration in made))
    assert (pool.ready, pool.running) == (12, 0)
    assert pool.idle_hours >= -1e-9

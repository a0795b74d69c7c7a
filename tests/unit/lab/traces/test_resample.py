"""A trace becomes samples that have its turns: none is lost, none is made up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.traces.forms import Counts, Events, resample
from ossa.contracts.errors import InvalidRequest
from ossa.contracts.scaling import SAMPLE_S, PoolSample

NAN = float("nan")
START = datetime(2026, 1, 1, tzinfo=UTC)


def counts(*values: float, step_s: float = 60.0) -> Counts:
    return Counts("load", START, step_s, np.asarray(values, dtype=float))


def events(*pairs: tuple[float, float]) -> Events:
    arrivals, durations = np.asarray(pairs, dtype=float).T
    return Events("turns", START, arrivals, durations)


def test_a_steps_turns_come_evenly_and_run_for_their_mean_duration() -> None:
    load = resample(counts(12, 60), turn_s=20.0)
    assert load.arrivals.tolist() == [2] * 6 + [10] * 6
    np.testing.assert_allclose(load.running, [4.0] * 6 + [20.0] * 6)


@given(st.lists(st.floats(0, 1e6), min_size=3, max_size=40), st.sampled_from([1.0, 7.0, 10.0, 57.0, 300.0]))
def test_no_turn_is_lost_but_those_of_the_last_part_of_a_sample(values: list[float], step_s: float) -> None:
    series = counts(*values, step_s=step_s)
    whole = int(len(values) * step_s / SAMPLE_S + 1e-9)
    if not whole:
        return
    load = resample(series, turn_s=1.0)
    until = np.interp(whole * SAMPLE_S, np.arange(len(values) + 1) * step_s, np.cumsum([0.0, *values]))
    assert len(load) == whole
    assert abs(load.arrivals.sum() - until) <= 0.5 + 1e-6 * until
    assert load.running.sum() * SAMPLE_S == pytest.approx(until, abs=1e-3)


def test_where_a_series_knows_nothing_there_is_no_sample() -> None:
    load = resample(counts(6, NAN, 6), turn_s=10.0)
    assert load.ends_s.tolist() == [10, 20, 30, 40, 50, 60, 130, 140, 150, 160, 170, 180]
    assert load.arrivals.sum() == 12


def test_events_are_counted_where_they_arrive_and_run_as_long_as_they_last() -> None:
    load = resample(events((0, 15), (3, 4), (10, 10), (25, 100)))
    assert load.arrivals.tolist() == [2, 1, 1]
    np.testing.assert_allclose(load.running, [1.4, 1.5, 0.5])


def test_events_without_a_duration_take_the_one_that_is_said() -> None:
    load = resample(events((0, NAN), (10, 5)), turn_s=10.0)
    np.testing.assert_allclose(load.running, [1.0, 0.5])


def test_a_trace_that_says_too_little_is_refused() -> None:
    for series in (counts(1, 2), events((0, NAN))):
        with pytest.raises(InvalidRequest, match="say what") as refused:
            resample(series)
        assert refused.value.param == "task-seconds"
    with pytest.raises(InvalidRequest, match="shorter than a sample"):
        resample(counts(1, 2, step_s=2.0), turn_s=1.0)
    with pytest.raises(InvalidRequest, match="at most"):
        resample(events((0, 1), (1e9, 1)))


def test_samples_say_what_the_trace_knows_and_no_more() -> None:
    found = list(resample(counts(6, step_s=30.0), turn_s=10.0).samples("security", START))
    ends = [START + timedelta(seconds=seconds) for seconds in (10, 20, 30)]
    assert found == [PoolSample(pool="security", at=end, arrivals=2, running=2.0) for end in ends]
    assert {found[0].cpu, found[0].queue_wait_s, found[0].error_rate} == {None}

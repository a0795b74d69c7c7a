"""What is learned from is what the predictor will see: minute means of all turns at once, gaps as gaps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from lab.forecasting.panels import Recorded, joined, of_files, of_samples
from ossa.contracts.errors import InvalidRequest
from ossa.contracts.scaling import PoolSample

START = datetime(2026, 3, 4, tzinfo=UTC)
SECOND = START.timestamp()


def sample(pool: str, seconds: float, running: float, queued: int = 0) -> PoolSample:
    return PoolSample(pool=pool, at=START + timedelta(seconds=seconds), running=running, queued=queued)


def minutes(pool: str, first: int, values: list[float]) -> list[PoolSample]:
    """Six samples a minute, which sum up the ten seconds before them."""
    return [
        sample(pool, (first + at) * 60 + 10 * turn, value) for at, value in enumerate(values) for turn in range(1, 7)
    ]


def test_a_row_is_the_mean_of_running_and_waiting_turns_of_the_minute_that_ended() -> None:
    first = [sample("security", 10 * turn, running=2.0, queued=turn) for turn in range(1, 7)]
    found = of_samples([*first, *minutes("security", 1, [5.0, 7.0]), sample("security", 200, 9.0)])
    assert found is not None
    assert found.seconds().tolist() == [SECOND + 60, SECOND + 120, SECOND + 180]
    assert found.values[:, 0].tolist() == [2.0 + 3.5, 5.0, 7.0]


def test_minutes_without_samples_are_not_known_and_pools_stand_by_name() -> None:
    found = of_samples(
        [*minutes("security", 0, [1.0]), *minutes("community", 3, [2.0]), *minutes("security", 5, [3.0])]
    )
    assert found is not None
    assert found.names == ("community", "security")
    np.testing.assert_array_equal(found.values, [[np.nan, 1.0], [np.nan] * 2, [np.nan] * 2, [2.0, np.nan]])


def test_without_a_whole_minute_there_is_nothing() -> None:
    assert of_samples([]) is None
    assert of_samples([sample("security", 10, 1.0)]) is None
    with pytest.raises(InvalidRequest, match="--data"):
        joined(None, None)


def series(name: str, first: int, values: list[float], step_s: float = 60.0) -> Recorded:
    return Recorded(name, [SECOND + (first + 1 + at) * step_s for at in range(len(values))], values)


def test_files_of_ten_seconds_are_brought_to_the_minutes_that_samples_have() -> None:
    found = of_files([series("security", 0, [1.0] * 6 + [3.0] * 6, 10.0), series("community", 1, [4.0])])
    assert found is not None
    assert found.seconds().tolist() == [SECOND + 60, SECOND + 120]
    np.testing.assert_array_equal(found.values, [[np.nan, 1.0], [4.0, 3.0]])


def test_files_tell_what_was_before_and_samples_count_where_both_know() -> None:
    samples = of_samples([*minutes("security", 2, [20.0, 30.0, 0.0]), *minutes("community", 2, [5.0, 5.0])])
    files = of_files([series("security", 0, [1.0, 2.0, 3.0])])
    found = joined(samples, files)
    assert found.names == ("community", "security")
    np.testing.assert_array_equal(found.values, [[np.nan, 1.0], [np.nan, 2.0], [5.0, 20.0], [5.0, 30.0]])


def test_a_file_of_a_pool_that_the_fleet_does_not_have_is_refused() -> None:
    samples = of_samples(minutes("security", 0, [1.0, 2.0]))
    with pytest.raises(InvalidRequest, match=r"no pool worldcup \(security\)"):
        joined(samples, of_files([series("worldcup", 0, [1.0])]))
    with pytest.raises(InvalidRequest, match="Two files"):
        of_files([series("security", 0, [1.0]), series("security", 9, [1.0])])

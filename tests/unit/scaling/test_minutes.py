"""Six samples make a minute, which is told once a later one has come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ossa.contracts.scaling import PoolSample
from ossa.scaling.predictor import Minutes

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def _sample(seconds: float, running: float, queued: int = 0) -> PoolSample:
    return PoolSample(pool="p", at=NOON + timedelta(seconds=seconds), running=running, queued=queued)


def test_a_minute_is_the_mean_of_what_ran_and_waited_in_it() -> None:
    minutes = Minutes()
    first = [_sample(10 * n, n, queued=1) for n in range(1, 7)]  # the sample at 12:01:00 sums up 12:00:50 to 12:01:00
    assert minutes.add(first) == []
    (minute,) = minutes.add([_sample(70, 50)])
    assert minute.at == NOON + timedelta(minutes=1)
    assert minute.needs == {"p": pytest.approx(4.5)}


def test_what_comes_too_late_changes_no_minute() -> None:
    minutes = Minutes()
    minutes.add([_sample(70, 2.0)])
    assert minutes.add([_sample(10, 99.0)]) == []
    (minute,) = minutes.add([_sample(130, 0.0)])
    assert minute.needs == {"p": pytest.approx(2.0)}


def test_a_gap_is_no_minute() -> None:
    minutes = Minutes()
    minutes.add([_sample(10, 1.0)])
    (minute,) = minutes.add([_sample(610, 1.0)])
    assert minute.at == NOON + timedelta(minutes=1)

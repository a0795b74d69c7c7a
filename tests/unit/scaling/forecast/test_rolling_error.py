"""A forecast that went wild is switched off, and comes back when it has been good for a while."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from ossa.scaling.forecast.forecaster import ErrorBounds, RollingError

LOAD = [20 + 10 * math.sin(step / 8) for step in range(400)]


def good(step: int) -> float:
    return LOAD[step] + 0.1


WILD: dict[str, Callable[[int], float]] = {
    "a hundredfold": lambda step: 100 * LOAD[step],
    "not a number": lambda step: math.nan,
    "infinite": lambda step: math.inf,
    "negative": lambda step: -1.0,
    "constant": lambda step: 60.0,
    "always nothing": lambda step: 0.0,
}


def run(error: RollingError, forecast: Callable[[int], float], steps: range) -> None:
    for step in steps:
        error.observe(forecast(step), LOAD[step - 1], LOAD[step])


def test_a_good_forecast_is_trusted_once_it_was_seen_for_a_while() -> None:
    error = RollingError(ErrorBounds(fewest=10))
    run(error, good, range(1, 10))
    assert not error.trusted
    run(error, good, range(10, 40))
    assert error.trusted
    assert error.wape == pytest.approx(0.1 / np.mean(LOAD), rel=0.5)


@pytest.mark.parametrize("kind", WILD)
def test_a_forecast_gone_wild_is_switched_off_and_on_again(kind: str) -> None:
    error = RollingError()
    run(error, good, range(1, 50))
    run(error, WILD[kind], range(50, 70))
    assert not error.trusted
    assert error.switched_off == 1
    run(error, good, range(70, 75))
    assert not error.trusted, "a few good ones are not enough"
    run(error, good, range(75, 400))
    assert error.trusted


def test_a_hundredfold_forecast_is_off_after_one_value() -> None:
    error = RollingError()
    run(error, good, range(1, 50))
    run(error, WILD["a hundredfold"], range(50, 51))
    assert not error.trusted


def test_small_errors_on_a_constant_load_do_not_switch_off() -> None:
    error = RollingError()
    for _ in range(100):
        error.observe(10.2, 10.0, 10.0)
    assert error.trusted


def test_values_that_are_not_known_teach_nothing() -> None:
    error = RollingError()
    run(error, good, range(1, 50))
    before = error.wape
    for _ in range(100):
        error.observe(1e9, 1.0, math.nan)
    assert error.trusted
    assert error.wape == before

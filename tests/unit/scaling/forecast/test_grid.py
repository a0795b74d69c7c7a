"""Samples onto an even grid: what cannot be is refused by name or left out."""

import math

import numpy as np
import pytest

from lab.forecasting.panels import panel
from ossa.scaling.forecast.series import Panel, SeriesError


def test_gaps_are_not_known_and_what_falls_together_is_averaged() -> None:
    found = panel([100, 5, 15, 65], {"a": [9.0, 1.0, 3.0, 5.0]}, 20.0)
    np.testing.assert_array_equal(found.values[:, 0], [2.0, math.nan, math.nan, 5.0, math.nan, 9.0])
    assert found.start_s == 0.0


def test_values_and_times_that_cannot_be_are_left_out() -> None:
    found = panel([0, 10, 20, math.nan, 30], {"a": [1.0, -4.0, math.inf, 7.0, 2.0]}, 10.0)
    np.testing.assert_array_equal(found.values[:, 0], [1.0, math.nan, math.nan, 2.0])


def test_a_clock_that_jumped_is_refused() -> None:
    with pytest.raises(SeriesError, match="span"):
        panel([0, 10, 2e9], {"a": [1.0, 2.0, 3.0]}, 10.0)


@pytest.mark.parametrize(("value", "word"), [(-1.0, "negative"), (math.inf, "infinite")])
def test_a_panel_names_what_is_wrong(value: float, word: str) -> None:
    with pytest.raises(SeriesError, match=word):
        Panel(0.0, 60.0, ("a",), np.asarray([[value]]))


def test_no_sample_is_said() -> None:
    with pytest.raises(SeriesError, match="no sample"):
        panel([], {"a": []}, 10.0)

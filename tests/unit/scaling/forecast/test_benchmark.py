"""What `benchmarks.forecast` reads and how it scores."""

import gzip
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.forecasting.aims import aims, series_results
from benchmarks.forecasting.baselines import METHODS
from benchmarks.forecasting.origins import origins
from benchmarks.forecasting.ours import Forecasts
from benchmarks.forecasting.scores import Result, score
from benchmarks.workload.series import series_form
from ossa.scaling.forecast.series import Panel


def test_the_series_form_is_read_with_its_gaps(tmp_path: Path) -> None:
    text = "timestamp,value\n2026-01-01T00:00:00Z,1\n2026-01-01T00:01:00+00:00,\n2026-01-01T00:02:00Z,3\n"
    for path in (tmp_path / "load.csv", tmp_path / "load.csv.gz"):
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
        found = series_form(path)
        assert (found.name, found.panel.step_s) == ("load", 60.0)
        np.testing.assert_array_equal(found.panel.values[:, 0], [1.0, math.nan, 3.0])


def test_scores_are_those_of_the_book() -> None:
    actual = np.asarray([10.0, 20.0, math.nan, 30.0])
    quantiles = np.asarray([[5.0, 11.0, 12.0, 13.0, 40.0]] * 4)
    found = score("s", "m", 1, actual, Forecasts(quantiles, quantiles[:, 0], quantiles[:, 3]))
    assert found is not None
    assert found.n == 3
    assert found.wape == pytest.approx((1 + 9 + 19) / 60)
    assert found.pinball_50 == pytest.approx(0.5 * (1 + 9 + 19) / 60)
    assert found.pinball_90 == pytest.approx((0.1 * 2 + 0.9 * 8 + 0.9 * 18) / 60)
    assert found.coverage_90 == pytest.approx(1 / 3)
    assert found.within_10pct == pytest.approx(1 / 3)


@pytest.mark.parametrize("method", METHODS)
def test_no_baseline_sees_the_future_either(method: str) -> None:
    values = np.random.default_rng(2).poisson(20, (300, 1)).astype(float)
    changed = values.copy()
    changed[220:] *= 50
    at = origins(300)
    one, other = (METHODS[method](Panel(0.0, 60.0, ("a",), each), 5, at) for each in (values, changed))
    np.testing.assert_array_equal(one[at.start : 220], other[at.start : 220])


def test_an_aim_is_missed_when_a_series_is_lost() -> None:
    def result(method: str, wape: float) -> Result:
        return Result("s", method, 1, 100, wape, 0.1, 0.1, 0.1, 0.9, 0.5)

    won = aims(series_results([result("ossa", 0.8), result("persistence", 1.0), result("gradient_boosting", 0.95)]))
    lost = aims(series_results([result("ossa", 0.96), result("persistence", 1.0), result("gradient_boosting", 0.95)]))
    assert [one.met for one in won] == [True, True, True]
    assert [one.met for one in lost] == [False, False, True]

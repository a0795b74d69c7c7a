"""Turns at once that pools will need, with bands that hold what they promise.

    forecaster = Forecaster(model.pools, model)        # or without a model: simple experts alone
    forecaster.observe(at, {"foundation": 12.5, ...})  # each minute
    forecaster.forecasts()                             # every pool, 1, 5 and 15 minutes ahead
    forecaster.errors["foundation", 60].wape           # published; past its bound `trusted` is False

series -> features -> experts (simple and fitted) -> track (blend, calibration) -> forecaster

`lab.forecasting` trains models; `model` reads and writes their files.
"""

"""Turns at once that pools will need, with bands that hold what they promise.

    model = train(panel, horizons=(1, 5, 15))          # training.py; the only part that wants XGBoost
    forecaster = Forecaster(panel.names, load(model.dump()))
    forecaster.observe(at, {"foundation": 12.5, ...})  # each minute
    forecaster.forecasts()                             # every pool, 1, 5 and 15 minutes ahead
    forecaster.errors["foundation", 60].wape           # published; past its bound `trusted` is False

grid -> features -> experts (simple, linear, boosting) -> track (blend, conformal) -> forecaster (rolling_error)
"""

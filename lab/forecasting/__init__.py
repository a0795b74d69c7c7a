"""Training of the spawn predictor: its data, a split by time, fits, and how wrong forecasts are. No Ray.

panels.py        samples of the fleet and files -> minutes of turns at once by pool
split.py         which minutes are learned from, which choose settings, which are held out; whether it is due
fitting.py       fits of one pool and horizon; the only part that needs XGBoost
training.py      a panel of pools -> a model with its card
replay.py        forecasts over rows that a fit has not seen
judging.py       how wrong forecasts of all pools were on minutes that were held out
"""

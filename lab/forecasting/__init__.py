"""What the spawn predictor is trained on: samples and files, a split by time, when to train anew. No Ray, no XGBoost.

series_form.py   a file of the series form -> times and values, or which row and column is wrong
panels.py        samples of the fleet and files -> minutes of turns at once by pool
split.py         which minutes are learned from, which choose settings, which are held out; whether it is due
judging.py       how wrong forecasts of all pools were on minutes that were held out
"""

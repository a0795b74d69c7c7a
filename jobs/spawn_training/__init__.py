"""Training of the spawn predictor: samples and series, a search on Ray Tune, and whether the model may be promoted.

material -> search (trials on growing shares) -> a fit on all but the held-out end, compared there with what forecasts
now -> a fit with the same settings on all
"""

"""Forecasts measured: rolling origins, baselines, scores."""

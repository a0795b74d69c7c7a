"""Policies over real traces: `python -m benchmarks.scaling`."""

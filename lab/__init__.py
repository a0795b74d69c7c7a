"""Traces, a fleet simulator and model training. Jobs, benchmarks and tests use them; `ossa` never imports them."""

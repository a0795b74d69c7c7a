"""Capacity before the load: forecast, decision, and a simulator of both."""

"""Whole trajectories, replayed turn by turn."""

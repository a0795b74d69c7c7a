"""A pool under a trace of arrivals, driven by the decision code that drives the real one, or by a baseline.

Deterministic: a trace is made from a seed, and nothing in a run is random.
"""

from lab.simulator.pool import Machine
from lab.simulator.run import Outcome, simulate
from lab.simulator.trace import Trace

__all__ = ["Machine", "Outcome", "Trace", "simulate"]

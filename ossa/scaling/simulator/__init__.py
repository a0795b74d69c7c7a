"""A pool under a trace of arrivals, driven by the decision code that drives the real one, or by a baseline.

Deterministic: a trace is made from a seed, and nothing in a run is random.
"""

from ossa.scaling.simulator.machine import Machine
from ossa.scaling.simulator.outcome import Outcome
from ossa.scaling.simulator.run import simulate
from ossa.scaling.simulator.trace import Trace

__all__ = ["Machine", "Outcome", "Trace", "simulate"]

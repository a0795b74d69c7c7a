"""Decides the fleet's sizes: takes samples, forecasts, rules, state and time, returns a `ScaleDecision` with reasons.

`decide` is pure: no IO, no Ray, no clock of its own. Rules are the floor; a forecast may only raise
(docs/decisions/0013-scaling.md).
"""

from ossa.scaling.decision.policy import Verdict, decide
from ossa.scaling.decision.state import PoolState, ScalerInput, ScalerState

__all__ = ["PoolState", "ScalerInput", "ScalerState", "Verdict", "decide"]

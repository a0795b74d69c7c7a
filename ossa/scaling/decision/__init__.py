"""What the fleet shall be: samples, forecasts, rules, state and clock in; a `ScaleDecision` with reasons out.

`decide` is pure: no IO, no Ray, no clock of its own. Rules are the floor; a forecast may only raise
(docs/decisions/0013-scaling.md).
"""

from ossa.scaling.decision.policy import Verdict, decide
from ossa.scaling.decision.state import PoolState, ScalerInput, ScalerState

__all__ = ["PoolState", "ScalerInput", "ScalerState", "Verdict", "decide"]

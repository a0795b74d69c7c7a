"""All that one decision is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime

from ossa.contracts.scaling import Forecast, PoolSample

EVERY_POOL = "*"


@dataclass(frozen=True, slots=True)
class ScalerInput:
    """One look at the fleet. `sizes` is what pools shall have now; the decision is about exactly those pools.

    `samples` should reach back a cool-down; order does not matter. `alerts` names the pools with a critical alert
    that more agents help (`*`: every pool). `nodes` are the nodes that are up; None: not known. `earlier` are forecasts
    made before the newest, of minutes that those leave out. `peaks`: the most turns at once that a pool had in days.
    """

    now: datetime
    sizes: Mapping[str, int]
    samples: Sequence[PoolSample] = ()
    forecasts: Sequence[Forecast] = ()
    alerts: AbstractSet[str] = field(default_factory=frozenset)
    standby: int = 0
    nodes: int | None = None
    earlier: Sequence[Forecast] = ()
    peaks: Mapping[str, float] = field(default_factory=dict)

    def alerted(self, pool: str) -> bool:
        return pool in self.alerts or EVERY_POOL in self.alerts

"""The input of one decision, and the state that the scaler keeps from one tick to the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import AliasChoices, Field

from ossa.contracts.scaling import Forecast, PoolSample
from ossa.contracts.value import Value

EVERY_POOL = "*"


@dataclass(frozen=True, slots=True)
class ScalerInput:
    """Everything one decision is made from. `sizes` are the desired sizes; the decision is about exactly those pools.

    `samples` should reach back a cool-down; order does not matter. `alerts` names pools with a critical alert that more
    agents help (`*`: every pool). `nodes` are the nodes that are up; None if unknown. `earlier` are older forecasts, of
    minutes that the newest leave out. `peaks` are the most turns at the same time that a pool had in days.
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


LONGEST_STEP_S = 60.0
"""One tick counts as at most this long, so that a clock that jumped ends no cool-down."""


class PoolState(Value):
    """Holds remaining seconds, not points in time, so that a clock that is set does not change them."""

    cooldown_s: float = Field(0.0, ge=0)
    watch_s: float = Field(0.0, ge=0, description="after an emergency: no other one, and nothing is taken away")
    shrink_to: int | None = Field(None, ge=0, description="where the scale-in ends that goes on block by block")
    borrowed_standbys: int = Field(
        0,
        ge=0,
        validation_alias=AliasChoices("borrowed_standbys", "lent"),
        description="standbys that work for it, beside its own agents; `lent` in states of older versions",
    )
    armed: bool = Field(True, description="False from an emergency until its cause was away and the watch is over")

    def later(self, seconds: float) -> PoolState:
        if not self.cooldown_s and not self.watch_s:
            return self
        left = {"cooldown_s": max(0.0, self.cooldown_s - seconds), "watch_s": max(0.0, self.watch_s - seconds)}
        return self.model_copy(update=left)


class ScalerState(Value):
    """The scaler's memory, kept by the caller and stored as JSON. The default is that of a new scaler."""

    at: datetime | None = None
    pools: dict[str, PoolState] = Field(default_factory=dict)

    def passed(self, now: datetime) -> float:
        """Returns the seconds since the last tick, in [0, `LONGEST_STEP_S`]."""
        if self.at is None:
            return 0.0
        return min(LONGEST_STEP_S, max(0.0, (now - self.at).total_seconds()))

    def pool(self, name: str, passed_s: float) -> PoolState:
        return self.pools.get(name, PoolState()).later(passed_s)

    def changed(self, pools: Iterable[str], cooldown_s: float) -> ScalerState:
        """Returns the state as if these pools had been scaled now, because somebody else did it."""
        others = {name: self.pool(name, 0.0).model_copy(update={"cooldown_s": cooldown_s}) for name in pools}
        return self.model_copy(update={"pools": {**self.pools, **others}}) if others else self

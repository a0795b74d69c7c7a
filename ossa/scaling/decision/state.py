"""What the scaler remembers from one look to the next, and how time passes for it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pydantic import AliasChoices, Field

from ossa.contracts.value import Value

LONGEST_STEP_S = 60.0
"""The most that one look may count as passed: a clock that jumped ends no cool-down."""


class PoolState(Value):
    """Seconds that are left, not points in time, so that a clock set back or forth changes neither."""

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
    """Kept by the caller, as JSON where it has to outlive the process. The default is a scaler that starts."""

    at: datetime | None = None
    pools: dict[str, PoolState] = Field(default_factory=dict)

    def passed(self, now: datetime) -> float:
        """Seconds since the last look, in [0, `LONGEST_STEP_S`]."""
        if self.at is None:
            return 0.0
        return min(LONGEST_STEP_S, max(0.0, (now - self.at).total_seconds()))

    def pool(self, name: str, passed_s: float) -> PoolState:
        return self.pools.get(name, PoolState()).later(passed_s)

    def changed(self, pools: Iterable[str], cooldown_s: float) -> ScalerState:
        """As if these pools had been scaled now: somebody else did it."""
        others = {name: self.pool(name, 0.0).model_copy(update={"cooldown_s": cooldown_s}) for name in pools}
        return self.model_copy(update={"pools": {**self.pools, **others}}) if others else self

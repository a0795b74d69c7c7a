"""What the scaler sees, expects and decides, and what keeps it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, Protocol

from pydantic import Field

from ossa.contracts.value import Value

SAMPLE_S = 10.0
"""Seconds that a sample sums up."""

HORIZONS_S: tuple[int, ...] = (60, 300, 900)
"""How far forecasts look: 1, 5 and 15 minutes."""

QUANTILES: tuple[float, ...] = (0.05, 0.5, 0.9, 0.95, 0.99)


MOST_TIMES = 256
"""Waits and latencies that one report carries a pool, at most: evenly taken from more."""


class PoolTraffic(Value):
    """A pool's turns as one gateway replica saw them."""

    pool: str
    arrivals: int = Field(0, ge=0, description="turns that were asked for")
    ended: int = Field(0, ge=0)
    failed: int = Field(0, ge=0, description="of those that ended; a caller's own mistakes and cancelling do not count")
    running_s: float = Field(0.0, ge=0, description="turn-seconds: turns at once, summed over time")
    queued: int = Field(0, ge=0, description="waiting for an agent at its end")
    waits_s: tuple[float, ...] = Field((), max_length=MOST_TIMES, description="of turns that began, until they began")
    turns_s: tuple[float, ...] = Field((), max_length=MOST_TIMES, description="of turns that ended, without the wait")


class TrafficReport(Value):
    """One gateway replica over the `seconds` that end now. Replicas with nothing to tell report as well."""

    replica: str
    seconds: float = Field(gt=0)
    pools: tuple[PoolTraffic, ...] = ()


class PoolSample(Value):
    """One pool over `SAMPLE_S` seconds that end at `at`. None: not known."""

    pool: str
    at: datetime
    arrivals: int = Field(0, ge=0, description="turns that were asked for")
    running: float = Field(0.0, ge=0, description="turns at once, mean")
    queued: int = Field(0, ge=0, description="waiting at its end")
    queue_wait_s: float | None = Field(None, ge=0, description="95th percentile")
    latency_p99_s: float | None = Field(None, ge=0)
    error_rate: float | None = Field(None, ge=0, le=1)
    cpu: float | None = Field(None, ge=0, description="share of what its agents reserved")
    memory: float | None = Field(None, ge=0, description="share of what its nodes have")
    agents: int = Field(0, ge=0, description="ready at its end")
    starting: int = Field(0, ge=0)
    draining: int = Field(0, ge=0, description="of a smaller pool: not counted as ready, still at their last turns")
    slots_per_agent: float = Field(1.0, gt=0)


def peaks_of(samples: Iterable[PoolSample]) -> dict[str, float]:
    """Returns each pool's most turns at once in any sample, waiting ones included. Skips what is not a number."""
    peaks: dict[str, float] = {}
    for one in samples:
        if math.isfinite(need := one.running + one.queued):
            peaks[one.pool] = max(need, peaks.get(one.pool, 0.0))
    return peaks


class Forecast(Value):
    """Turns at once that a pool is expected to need `horizon_s` after `at`, by quantile.

    `model` names what made it; `trusted` is False while its rolling error is past its bound: then rules alone decide.
    """

    pool: str
    at: datetime
    horizon_s: int
    quantiles: dict[float, float]
    model: str
    trusted: bool = True

    def upper(self) -> float:
        return self.quantiles[max(self.quantiles)]


class PoolBounds(Value):
    floor: int = Field(0, ge=0)
    ceiling: int = Field(10_000, ge=0)


class ScaleRules(Value):
    """The mission's figures are the defaults. Shares in [0, 1], seconds."""

    cpu: float = Field(0.70, gt=0)
    memory: float = Field(0.75, gt=0)
    queue_wait_s: float = Field(1.0, gt=0)
    latency_p99_s: float | None = Field(None, gt=0)
    error_rate: float = Field(0.05, gt=0, le=1)
    low: float = Field(
        0.9, gt=0, lt=1, description="share of a trigger that what is left has to stay below to scale in: hysteresis"
    )
    busy: float = Field(0.9, gt=0, le=1, description="turns at once over places that what is left may reach")
    calm_s: float = Field(
        60.0, ge=0, le=3600, description="a scale-in leaves what could carry the most turns at once of so long"
    )
    cooldown_s: float = Field(300.0, ge=0)
    step_up: float = Field(2.0, gt=1, description="at most so many times the agents there are, at once")
    block_agents: int = Field(4, ge=1, description="in and out by whole placement groups")
    fleet_floor: int = Field(50, ge=0)
    fleet_ceiling: int = Field(250, ge=0, description="agents and standbys")
    pools: dict[str, PoolBounds] = Field(default_factory=dict)
    standby: int = Field(0, ge=0, description="held whatever the forecast says, fleet-wide")
    agents_quantile: float = Field(0.5, description="of the forecast, for which agents are raised")
    standby_quantile: float = Field(0.95, description="of the forecast, up to which standbys are held and lent")
    plausible: float = Field(4.0, gt=1, description="times the most of late, past which a forecast is not believed")
    emergency_factor: float = Field(5.0, gt=1, description="at once and past the cool-down, once")
    emergency_queue: float = Field(1.0, gt=0, description="waiting turns a place, growing, that are an emergency")
    emergency_watch_s: float = Field(600.0, ge=0)


class StartUp(Value):
    """Seconds until what is asked for can work, and how much a node carries."""

    agent_s: float = Field(4.0, ge=0, description="a cold agent on a node that is up")
    agents_at_once: int = Field(8, ge=1, description="cold agents that start at the same time, fleet-wide")
    assign_s: float = Field(0.05, ge=0, description="a standby that is given a manifest")
    node_s: float = Field(150.0, ge=0, description="a cold node")
    agents_per_node: int = Field(21, ge=1, description="8 cores at 0.38 an agent")

    def agents_s(self, agents: int) -> float:
        """Seconds until so many cold agents are up."""
        return self.agent_s * max(1, math.ceil(agents / self.agents_at_once))


class PoolDecision(Value):
    """What a pool shall have; `reasons` in the order they were weighed, each a short sentence with its figures."""

    pool: str
    agents: int
    before: int
    lent: int = Field(0, ge=0, description="standbys that work for it as well, for as long as it needs them")
    standby: int = 0
    emergency: bool = False
    reasons: tuple[str, ...] = ()


class ScaleDecision(Value):
    """One look at the whole fleet. `by`: what moved it; `forecast` may only have raised something.

    `standby` counts those that are lent.
    """

    at: datetime
    pools: tuple[PoolDecision, ...] = ()
    standby: int = 0
    nodes_hint: int | None = Field(None, description="nodes that the decision needs, where nodes can follow")
    by: Literal["nothing", "rules", "forecast", "emergency"] = "nothing"
    forecasts: tuple[Forecast, ...] = ()
    dry_run: bool = False


class ForecastError(Value):
    """How wrong a pool's forecasts of one horizon were of late. None: nothing to compare with yet."""

    pool: str
    horizon_s: int
    wape: float | None = None
    against_persistence: float | None = Field(None, description="1: as wrong as saying that nothing will change")
    trusted: bool = False


class Predicted(Value):
    """What the predictor says at one look. `model` names what forecasts; `trouble` why that is not the one in use.

    `forecasts` are the newest, one a horizon; `earlier` was said before, of minutes between the horizons.
    """

    forecasts: tuple[Forecast, ...] = ()
    earlier: tuple[Forecast, ...] = ()
    errors: tuple[ForecastError, ...] = ()
    model: str = ""
    trouble: str = ""


class Predictor(Protocol):
    """Forecasts from samples. It may be slow, wrong or dead: rules decide without it."""

    async def predict(self, samples: Sequence[PoolSample]) -> Predicted:
        """Told the newest samples, in order. Raises nothing: what fails is in `trouble`."""

    async def close(self) -> None: ...


class PoolStatus(Value):
    """One pool as the scaler has it now; `sample` is None where none is fresh."""

    pool: str
    size: int
    ready: int = 0
    sample: PoolSample | None = None
    cooldown_s: float = 0.0
    watch_s: float = 0.0


ScalingMode = Literal["off", "dry-run", "on"]


class ScalingStatus(Value):
    """What `GET /api/v1/scaling` shows. `trouble` says why nothing is decided, where that is so."""

    mode: ScalingMode
    rules: ScaleRules
    at: datetime | None = Field(None, description="of the last look")
    pools: tuple[PoolStatus, ...] = ()
    standby: int = 0
    decision: ScaleDecision | None = Field(None, description="the last one, with the forecasts it was made from")
    errors: tuple[ForecastError, ...] = ()
    predictor: str = Field("", description="the model that forecasts, or why there are no forecasts")
    alerts: tuple[str, ...] = Field((), description="pools with a critical alert; * is every pool")
    trouble: str = ""


class ScalingStore(Protocol):
    """Samples, decisions and the scaler's memory. Calls raise `StoreUnavailable`; each may be repeated."""

    async def add_samples(self, samples: Sequence[PoolSample]) -> None:
        """A sample of a pool and time that is there already is replaced."""

    async def samples(
        self, *, since: datetime, until: datetime | None = None, pools: Sequence[str] | None = None
    ) -> list[PoolSample]:
        """Oldest first; `since` counts, `until` does not."""

    async def peaks(self, *, since: datetime) -> dict[str, float]:
        """Returns each pool's most turns at once in any sample since then, waiting ones included. May be empty."""

    async def prune(self, *, before: datetime) -> int:
        """Remove older samples and decisions; how many."""

    async def add_decision(self, decision: ScaleDecision) -> None:
        """One of the same time is replaced."""

    async def decisions(self, *, limit: int = 50, before: datetime | None = None) -> list[ScaleDecision]:
        """Newest first."""

    async def save_state(self, state: str) -> None:
        """Keeps the scaler's state, which is JSON, in place of the one before."""

    async def state(self) -> str | None: ...

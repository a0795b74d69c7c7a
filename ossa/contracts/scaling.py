"""What the scaler sees, expects and decides."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from ossa.contracts.value import Value

SAMPLE_S = 10.0
"""Seconds that a sample sums up."""

HORIZONS_S: tuple[int, ...] = (60, 300, 900)
"""How far forecasts look: 1, 5 and 15 minutes."""

QUANTILES: tuple[float, ...] = (0.05, 0.5, 0.9, 0.95, 0.99)


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
    slots_per_agent: float = Field(1.0, gt=0)


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
    cooldown_s: float = Field(300.0, ge=0)
    step_up: float = Field(2.0, gt=1, description="at most so many times the agents there are, at once")
    block_agents: int = Field(4, ge=1, description="in and out by whole placement groups")
    fleet_floor: int = Field(50, ge=0)
    fleet_ceiling: int = Field(250, ge=0, description="agents and standbys")
    pools: dict[str, PoolBounds] = Field(default_factory=dict)
    standby: int = Field(0, ge=0, description="held whatever the forecast says, fleet-wide")
    agents_quantile: float = Field(0.93, description="of the forecast, for which agents are raised")
    standby_quantile: float = Field(0.99, description="of the forecast, up to which standbys are held")
    plausible: float = Field(4.0, gt=1, description="times the most of late, past which a forecast is not believed")
    emergency_factor: float = Field(5.0, gt=1, description="at once and past the cool-down, once")
    emergency_queue: float = Field(1.0, gt=0, description="waiting turns a place, growing, that are an emergency")
    emergency_watch_s: float = Field(600.0, ge=0)


class StartUp(Value):
    """Seconds until what is asked for can work, and how much a node carries."""

    agent_s: float = Field(4.0, ge=0, description="a cold agent on a node that is up")
    assign_s: float = Field(0.05, ge=0, description="a standby that is given a manifest")
    node_s: float = Field(150.0, ge=0, description="a cold node")
    agents_per_node: int = Field(21, ge=1, description="8 cores at 0.38 an agent")


class PoolDecision(Value):
    """What a pool shall have; `reasons` in the order they were weighed, each a short sentence with its figures."""

    pool: str
    agents: int
    before: int
    standby: int = 0
    emergency: bool = False
    reasons: tuple[str, ...] = ()


class ScaleDecision(Value):
    """One look at the whole fleet. `by`: what moved it; `forecast` may only have raised something."""

    at: datetime
    pools: tuple[PoolDecision, ...] = ()
    standby: int = 0
    nodes_hint: int | None = Field(None, description="nodes that the decision needs, where nodes can follow")
    by: Literal["nothing", "rules", "forecast", "emergency"] = "nothing"
    forecasts: tuple[Forecast, ...] = ()
    dry_run: bool = False

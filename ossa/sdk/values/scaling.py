"""What the scaler sees, expects and decides."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from ossa.sdk.values.listing import Listing
from ossa.sdk.values.received import Received


class PoolSample(Received):
    """A pool over some seconds that end at `at`; shares from 0 to 1. None: not known."""

    pool: str
    at: datetime
    arrivals: int = 0
    running: float = 0.0
    queued: int = 0
    queue_wait_s: float | None = None
    latency_p99_s: float | None = None
    error_rate: float | None = None
    cpu: float | None = None
    memory: float | None = None
    agents: int = 0
    starting: int = 0
    slots_per_agent: float = 1.0


class PoolStanding(Received):
    """`cooldown_s`: until it may be scaled in; `watch_s`: until an emergency of its own is over."""

    pool: str
    size: int
    ready: int = 0
    sample: PoolSample | None = None
    cooldown_s: float = 0.0
    watch_s: float = 0.0


class Forecast(Received):
    """Turns at once that a pool is expected to need, by quantile."""

    pool: str
    at: datetime
    horizon_s: int
    quantiles: dict[float, float] = Field(default_factory=dict)
    model: str = ""
    trusted: bool = True


class PoolDecision(Received):
    """What a pool shall have, and why; `before` is what it had."""

    pool: str
    agents: int
    before: int
    lent: int = 0
    standby: int = 0
    emergency: bool = False
    reasons: tuple[str, ...] = ()


class ScaleDecision(Received):
    """`by`: `nothing`, `rules`, `forecast` or `emergency`. With `dry_run` nothing was changed."""

    at: datetime
    pools: tuple[PoolDecision, ...] = ()
    standby: int = 0
    nodes_hint: int | None = None
    by: str = "nothing"
    forecasts: tuple[Forecast, ...] = ()
    dry_run: bool = False


class ForecastError(Received):
    """`wape`: errors summed over what came summed; `against_persistence`: 1 is as wrong as expecting no change."""

    pool: str
    horizon_s: int
    wape: float | None = None
    against_persistence: float | None = None
    trusted: bool = False


class ForecastErrors(Listing[ForecastError]):
    columns: ClassVar[tuple[str, ...]] = ("pool", "horizon_s", "wape", "against_persistence", "trusted")


class Scaling(Received):
    """`mode`: `off`, `dry-run` or `on`; `recent`: decisions that changed something, newest first."""

    mode: str
    rules: dict[str, Any] = Field(default_factory=dict)
    at: datetime | None = None
    pools: tuple[PoolStanding, ...] = ()
    standby: int = 0
    decision: ScaleDecision | None = None
    errors: tuple[ForecastError, ...] = ()
    predictor: str = ""
    alerts: tuple[str, ...] = ()
    trouble: str = ""
    recent: tuple[ScaleDecision, ...] = ()

    def decided(self, pool: str) -> PoolDecision | None:
        """What the last decision says of a pool."""
        pools = self.decision.pools if self.decision else ()
        return next((one for one in pools if one.pool == pool), None)

    def forecast(self, pool: str, horizon_s: int) -> Forecast | None:
        """The one that the last decision was made from."""
        forecasts = self.decision.forecasts if self.decision else ()
        return next((one for one in forecasts if (one.pool, one.horizon_s) == (pool, horizon_s)), None)


class TakenAlert(Received):
    """`for_s` 0: it is over."""

    alert: int
    pool: str
    for_s: float


class IgnoredAlert(Received):
    alert: int
    reason: str


class Alerts(Received):
    """What was made of alerts, by their places."""

    taken: tuple[TakenAlert, ...] = ()
    ignored: tuple[IgnoredAlert, ...] = ()

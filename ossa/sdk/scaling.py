"""What the scaler sees, expects and decides."""

from __future__ import annotations

from typing import ClassVar

from ossa.contracts.scaling import Forecast, ForecastError, PoolDecision, ScaleDecision, ScalingStatus
from ossa.sdk.received import Listing, Received


class ForecastErrors(Listing[ForecastError]):
    columns: ClassVar[tuple[str, ...]] = ("pool", "horizon_s", "wape", "against_persistence", "trusted")


class Scaling(ScalingStatus):
    """`mode`: `off`, `dry-run` or `on`; `recent`: decisions that changed something, newest first."""

    recent: tuple[ScaleDecision, ...] = ()

    def decided(self, pool: str) -> PoolDecision | None:
        """Returns what the last decision says of a pool."""
        pools = self.decision.pools if self.decision else ()
        return next((decision for decision in pools if decision.pool == pool), None)

    def forecast(self, pool: str, horizon_s: int) -> Forecast | None:
        """Returns the forecast that the last decision was made from."""
        forecasts = self.decision.forecasts if self.decision else ()
        return next((item for item in forecasts if (item.pool, item.horizon_s) == (pool, horizon_s)), None)


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

"""What the scaler sees, expects and decides."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

from ossa.contracts.scaling import Forecast, ForecastError, PoolDecision, ScaleDecision, ScaleRules, ScalingStatus
from ossa.sdk.received import Listing, Received


class ForecastErrors(Listing[ForecastError]):
    columns: ClassVar[tuple[str, ...]] = ("pool", "horizon_s", "wape", "against_persistence", "trusted")


class Rules(ScaleRules):
    """Rules were a dict once: for one version they are read by item too, with a `DeprecationWarning`."""

    def __getitem__(self, name: str) -> Any:
        if name not in type(self).model_fields:
            raise KeyError(name)
        warnings.warn(f"rules[{name!r}] is rules.{name} now.", DeprecationWarning, stacklevel=2)
        return getattr(self, name)


class Scaling(ScalingStatus):
    """`mode`: `off`, `dry-run` or `on`; `recent`: decisions that changed something, newest first."""

    rules: Rules
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

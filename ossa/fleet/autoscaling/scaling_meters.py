"""What the scaler sees, expects and decides, on Ray's own metrics endpoint."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from ossa.contracts.scaling import PoolSample, Predicted, ScaleDecision

_SIGNALS = ("arrivals", "running", "queued", "queue_wait_s", "latency_p99_s", "error_rate", "cpu", "memory")


class ScalingMeters:
    """`ossa_scaling_*`; what is not known is NaN, so that a gap shows as a gap."""

    def sampled(self, samples: Iterable[PoolSample]) -> None:
        for sample in samples:
            for signal in _SIGNALS:
                value = getattr(sample, signal)
                tags = {"pool": sample.pool, "signal": signal}
                self._metrics["sample"].set(math.nan if value is None else float(value), tags=tags)

    def predicted(self, predicted: Predicted) -> None:
        for one in predicted.forecasts:
            for quantile, value in one.quantiles.items():
                tags = {"pool": one.pool, "horizon_s": str(one.horizon_s), "quantile": f"{quantile:g}"}
                self._metrics["forecast"].set(value, tags=tags)
        for error in predicted.errors:
            tags = {"pool": error.pool, "horizon_s": str(error.horizon_s)}
            self._metrics["wape"].set(math.nan if error.wape is None else error.wape, tags=tags)
            self._metrics["trusted"].set(float(error.trusted), tags=tags)

    def decided(self, decision: ScaleDecision) -> None:
        for pool in decision.pools:
            self._metrics["agents"].set(pool.agents, tags={"pool": pool.pool})
            self._metrics["borrowed"].set(pool.lent, tags={"pool": pool.pool})
            if pool.agents != pool.before:
                way = "out" if pool.agents > pool.before else "in"
                self._metrics["scalings"].inc(1, tags={"pool": pool.pool, "way": way, "by": decision.by})
        self._metrics["standby"].set(decision.standby)

    @cached_property
    def _metrics(self) -> dict[str, Any]:
        from ray.util import metrics

        horizon = ("pool", "horizon_s")
        return {
            "sample": metrics.Gauge("ossa_scaling_sample", "What the scaler saw last.", ("pool", "signal")),
            "forecast": metrics.Gauge("ossa_scaling_forecast_turns", "Turns at once.", (*horizon, "quantile")),
            "wape": metrics.Gauge("ossa_scaling_forecast_wape", "Rolling error of the median.", horizon),
            "trusted": metrics.Gauge("ossa_scaling_forecast_trusted", "0: switched off.", horizon),
            "agents": metrics.Gauge("ossa_scaling_agents", "Decided, by pool.", ("pool",)),
            "borrowed": metrics.Gauge("ossa_scaling_lent", "Standbys that work for a pool.", ("pool",)),
            "standby": metrics.Gauge("ossa_scaling_standby", "Standbys decided."),
            "scalings": metrics.Counter("ossa_scaling_events_total", "Changes of size.", ("pool", "way", "by")),
        }


class NoScalingMeters(ScalingMeters):
    """Counts nothing, for tests: Ray's metrics want Ray."""

    def sampled(self, samples: Iterable[PoolSample]) -> None: ...
    def predicted(self, predicted: Predicted) -> None: ...
    def decided(self, decision: ScaleDecision) -> None: ...

"""Turns counted by pool, and reported to the scaler."""

from __future__ import annotations

from ossa.contracts.scaling import SAMPLE_S
from ossa.gateway.core import GatewayCore
from ossa.gateway.extensions.traffic import api
from ossa.gateway.extensions.traffic.api import SCALING_MODELS
from ossa.gateway.extensions.traffic.meter import TrafficHook, TrafficMeter, TrafficMetrics
from ossa.gateway.extensions.traffic.reports import TrafficReports
from ossa.gateway.hooks import Extension

NAME = "traffic"


def extension(core: GatewayCore) -> Extension:
    """What the scaler learns from this replica, and the routes about scaling."""
    metrics = core.metrics.group(TrafficMetrics)
    meter = TrafficMeter(core.clock, metrics)
    reports = TrafficReports(meter, core, metrics, every_s=SAMPLE_S)
    return Extension(
        NAME,
        hooks=[TrafficHook(meter)],
        routers=[api.router],
        schemas=tuple(SCALING_MODELS.values()),
        service=meter,
        loops={"traffic": reports.run_forever},
        scrape=lambda: metrics.show_waiting(meter.waiting(core.index())),
    )

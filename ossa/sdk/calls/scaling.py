"""Scaling and its alerts."""

from __future__ import annotations

from ossa.sdk.call import Call, Request
from ossa.sdk.values.scaling import Alerts, Scaling

PATH = "/api/v1/scaling"
EVERY_POOL = "*"


def scaling(limit: int) -> Call[Scaling]:
    return Call(Request("GET", PATH, params={"limit": limit}), lambda response: Scaling.model_validate(response.json()))


def alert(pools: tuple[str, ...], for_s: float) -> Call[Alerts]:
    """As Alertmanager would say it. Saying it again only renews it."""
    status = "firing" if for_s > 0 else "resolved"
    alerts = [{"status": status, "labels": {"severity": "critical", "pool": pool}} for pool in pools or (EVERY_POOL,)]
    params = {"for_s": f"{for_s:g}"} if for_s > 0 else {}
    return Call(
        Request("POST", f"{PATH}/alerts", params=params, json={"version": "4", "alerts": alerts}),
        lambda response: Alerts.model_validate(response.json()),
    )

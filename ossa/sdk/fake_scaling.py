"""The fake gateway's scaler: off, until a test says what it decides."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx

Handler = Callable[..., httpx.Response]


class FakeScaling:
    """`status` goes over what a scaler that is off would say; `alerts`: pool -> seconds."""

    def __init__(self, pools: Mapping[str, int]) -> None:
        self._pools = pools
        self.status: dict[str, Any] = {}
        self.alerts: dict[str, float] = {}

    def routes(self) -> tuple[tuple[str, str, Handler], ...]:
        path = "/api/v1/scaling"
        return (("GET", path, self._scaling), ("POST", f"{path}/alerts", self._alert))

    def _scaling(self, request: httpx.Request) -> httpx.Response:
        pools = [{"pool": name, "size": size, "ready": size} for name, size in self._pools.items()]
        usual = {"mode": "off", "rules": {}, "pools": pools, "recent": []}
        found = {**usual, **self.status, "alerts": sorted(self.alerts)}
        found["recent"] = found["recent"][: int(request.url.params.get("limit", 20))]
        return httpx.Response(200, json=found)

    def _alert(self, request: httpx.Request) -> httpx.Response:
        lasting = float(request.url.params.get("for_s", 300))
        taken: list[dict[str, Any]] = []
        ignored: list[dict[str, Any]] = []
        for place, alert in enumerate(json.loads(request.content)["alerts"]):
            pool = alert["labels"].get("pool", "*")
            if pool not in ("*", *self._pools):
                ignored.append({"alert": place, "reason": f"There is no pool {pool!r}."})
                continue
            for_s = lasting if alert["status"] == "firing" else 0.0
            taken.append({"alert": place, "pool": pool, "for_s": for_s})
            if for_s:
                self.alerts[pool] = for_s
            else:
                self.alerts.pop(pool, None)
        return httpx.Response(200, json={"taken": taken, "ignored": ignored})

"""The routing part of the fake gateway."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx

from ossa.contracts.errors import NotFound

Handler = Callable[..., httpx.Response]
NOW = "2026-01-01T00:00:00Z"


class FakeRouting:
    """Ratings, policies and models in memory."""

    def __init__(self, known_task: Callable[[str], object]) -> None:
        self._known_task = known_task
        self.ratings: dict[str, dict[str, Any]] = {}
        self.policies: dict[str, dict[str, Any]] = {}
        self.models: list[dict[str, Any]] = []

    def add_model(self, kind: str, version: int, state: str = "candidate") -> None:
        self.models.append(
            {"kind": kind, "version": version, "digest": f"d{version}", "card": {}, "state": state, "created_at": NOW}
        )

    def routes(self) -> tuple[tuple[str, str, Handler], ...]:
        one, path = "/([^/]+)", "/api/v1/routing"
        return (
            ("POST", f"/api/v1/tasks{one}/feedback", self._rate),
            ("GET", f"{path}/policy", self._policy),
            ("PUT", f"{path}/policy", self._policy),
            ("DELETE", f"{path}/policy", self._policy),
            ("GET", f"{path}/models", self._models),
            ("POST", f"{path}/models{one}{one}/promote", self._promote),
            ("POST", f"{path}/models{one}/rollback", self._roll_back),
            ("GET", f"{path}/status", self._status),
        )

    def _rate(self, request: httpx.Request, task_id: str) -> httpx.Response:
        self._known_task(task_id)
        body = json.loads(request.content)
        rating = {"up": 1.0, "down": 0.0}.get(body["rating"], body["rating"])
        self.ratings[task_id] = {**body, "task_id": task_id, "rating": rating, "at": NOW}
        return httpx.Response(200, json=self.ratings[task_id])

    def _policy(self, request: httpx.Request) -> httpx.Response:
        tenant = request.url.params.get("tenant", "default")
        if request.method == "PUT":
            self.policies[tenant] = json.loads(request.content)
        elif request.method == "DELETE":
            self.policies.pop(tenant, None)
        own = self.policies.get(tenant)
        view = {"tenant": tenant, "policy": {"models": "manifest"} if own is None else own}
        return httpx.Response(200, json={**view, "source": "usual" if own is None else "own"})

    def _models(self, request: httpx.Request) -> httpx.Response:
        kind = request.url.params.get("kind")
        return httpx.Response(200, json={"data": [one for one in self.models if kind in (None, one["kind"])]})

    def _promote(self, _: httpx.Request, kind: str, version: str) -> httpx.Response:
        found = [one for one in self.models if (one["kind"], str(one["version"])) == (kind, version)]
        if not found:
            raise NotFound(f"There is no router model {kind} {version}.", param="version")
        for one in self.models:
            if one["kind"] == kind and one["state"] == "live":
                one["state"] = "retired"
        found[0].update(state="live", promoted_at=NOW)
        return httpx.Response(200, json=found[0])

    def _roll_back(self, _: httpx.Request, kind: str) -> httpx.Response:
        mine = [one for one in self.models if one["kind"] == kind]
        before = [one for one in mine if one["state"] == "retired"]
        for one in mine:
            if one["state"] == "live":
                one.update(state="candidate", promoted_at=None)
        if before:
            before[-1]["state"] = "live"
        return httpx.Response(200, json={"kind": kind, "live": before[-1] if before else None})

    def _status(self, _: httpx.Request) -> httpx.Response:
        live = {one["kind"]: one for one in self.models if one["state"] == "live"}
        models = [
            {"kind": kind, "source": "registry", "version": live[kind]["version"], "digest": live[kind]["digest"]}
            if kind in live
            else {"kind": kind, "source": "packaged"}
            for kind in ("labels", "agents", "quality")
        ]
        return httpx.Response(200, json={"models": [{**one, "since": NOW} for one in models], "swaps": 0, "fault": ""})

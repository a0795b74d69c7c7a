"""The fake gateway's money: budgets that are kept, and a fleet that has spent nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httpx

from ossa.contracts.errors import NotFound

Handler = Callable[..., httpx.Response]


class FakeCost:
    """Budgets in memory."""

    def __init__(self) -> None:
        self.budgets: dict[str, dict[str, Any]] = {}
        self.proposals: list[dict[str, Any]] = []

    def routes(self) -> tuple[tuple[str, str, Handler], ...]:
        path = "/api/v1/budgets"
        return (
            ("GET", path, lambda _: httpx.Response(200, json={"data": list(self.budgets.values())})),
            ("PUT", path, self._put),
            ("DELETE", path, self._delete),
            ("GET", "/api/v1/cost/report", self._report),
            ("GET", "/api/v1/cost/proposals", self._proposals),
            ("POST", "/api/v1/cost/proposals/([^/]+)/approve", self._approve),
        )

    def _put(self, request: httpx.Request) -> httpx.Response:
        asked: dict[str, Any] = json.loads(request.content)
        spent = {"spent_usd": 0.0, "reserved_usd": 0.0, "in_doubt_usd": 0.0, "left_usd": asked["hard_usd"]}
        usual = {"owner": "default", "tenant": None, "soft_usd": None, "ends_at": None}
        name = _id(asked)
        self.budgets[name] = {**usual, **asked, "period": _period(asked), **spent, "id": name}
        return httpx.Response(200, json=self.budgets[name])

    def _delete(self, request: httpx.Request) -> httpx.Response:
        name = _id(dict(request.url.params))
        if name not in self.budgets:
            raise NotFound("There is no such budget of this tenant.")
        return httpx.Response(200, json=self.budgets.pop(name))

    def _report(self, request: httpx.Request) -> httpx.Response:
        by = request.url.params.get("by", "tenant")
        found = {"by": by, "since": "2026-01-01", "days": 1.0, "lines": [], "total": {"name": ""}, "live_agents": 0}
        return httpx.Response(200, json=found)

    def _proposals(self, _: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"data": self.proposals, "approved": []})

    def _approve(self, _: httpx.Request, proposal_id: str) -> httpx.Response:
        for found in self.proposals:
            if found["id"] == unquote(proposal_id):
                self.proposals.remove(found)
                return httpx.Response(200, json=found)
        raise NotFound(f"There is no open proposal {proposal_id}.")


def _period(asked: dict[str, Any]) -> str:
    return str(asked.get("period") or ("task" if asked["kind"] == "task" else "month"))


def _id(asked: dict[str, Any]) -> str:
    return f"default/{asked['kind']}:{asked['name']}/{asked.get('tenant') or '*'}/{_period(asked)}"

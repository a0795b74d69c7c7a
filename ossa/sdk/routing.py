"""Where requests go and why, feedback, policies and router models: `client.routing`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from ossa.contracts.routing import AgentScore, Decided, ModelRecord, ModelStatus, Route, RouterStatus, TierScore
from ossa.sdk.blocking import IO, Calls, call
from ossa.sdk.exchange import Request, given, path_of
from ossa.sdk.received import Listing, Received

ROUTING = "/api/v1/routing"


class AgentScores(Listing[AgentScore]):
    columns: ClassVar[tuple[str, ...]] = ("agent_id", "manifest", "pool", "fit", "headroom", "affinity", "score")


class TierScores(Listing[TierScore]):
    columns: ClassVar[tuple[str, ...]] = ("tier", "model", "quality", "cost_usd")


class Routes(Listing[Route]):
    columns: ClassVar[tuple[str, ...]] = ("agent_id", "manifest", "pool", "tier", "router", "policy", "microseconds")


class Decisions(Listing[Decided]):
    """Routes, or why there are none."""


class Feedback(Received):
    """What is kept of a rating."""

    task_id: str
    rating: float
    comment: str = ""
    expected: str = ""
    at: datetime | None = None


class Policy(Received):
    """`source`: `own`, `everybody` (that of tenant `*`) or `usual`. `policy`: its settings, as the API names them."""

    tenant: str
    policy: dict[str, Any] = Field(default_factory=dict)
    source: str = ""


class RouterModels(Listing[ModelRecord]):
    columns: ClassVar[tuple[str, ...]] = ("kind", "version", "state", "digest", "created_at", "promoted_at")


class RolledBack(Received):
    """`live` is None where the packaged model serves, or rules do, or (`forecast`) simple methods."""

    kind: str
    live: ModelRecord | None = None


class ServingList(Listing[ModelStatus]):
    columns: ClassVar[tuple[str, ...]] = ("kind", "source", "version", "digest", "since", "fallback", "aside")


class RoutingCalls(Calls[IO]):
    """`client.routing`. Policies need a key with the scope `admin`; promoting and rolling back need `fleet:write`."""

    @call
    async def status(self) -> RouterStatus:
        """Returns what decides now, in the replica that answers."""
        return await self._exchange.send(RouterStatus, Request("GET", path_of(ROUTING, "status")))

    @call
    async def policy(self, *, tenant: str | None = None) -> Policy:
        """Returns the policy that holds for the key's tenant.

        Another tenant's, or that of `*`, is the operator's to see.
        """
        return await self._exchange.send(Policy, _policy("GET", tenant))

    @call
    async def set_policy(self, settings: Mapping[str, Any], *, tenant: str | None = None) -> Policy:
        """Replaces the whole policy; what `settings` leaves out has its default."""
        return await self._exchange.send(Policy, _policy("PUT", tenant, dict(settings)))

    @call
    async def remove_policy(self, *, tenant: str | None = None) -> Policy:
        """Removes a policy, and returns what holds from now on."""
        return await self._exchange.send(Policy, _policy("DELETE", tenant))

    @call
    async def models(self, *, kind: str | None = None) -> RouterModels:
        """Lists the models of the registry, newest first."""
        return await self._exchange.send(
            RouterModels, Request("GET", path_of(ROUTING, "models"), given(kind=kind or None))
        )

    @call
    async def promote(self, kind: str, version: int) -> ModelRecord:
        """Lets a model decide. Promoting it twice is promoting it once."""
        return await self._exchange.send(
            ModelRecord, Request("POST", path_of(ROUTING, "models", kind, version, "promote"))
        )

    @call
    async def roll_back(self, kind: str) -> RolledBack:
        """Goes back to the model that was live before.

        Without one it goes back to the packaged model (`forecast`: to simple methods).
        """
        # Not repeatable: each time goes one step further back.
        return await self._exchange.send(
            RolledBack, Request("POST", path_of(ROUTING, "models", kind, "rollback"), repeatable=False)
        )


def _policy(method: str, tenant: str | None, body: dict[str, Any] | None = None) -> Request:
    return Request(method, path_of(ROUTING, "policy"), given(tenant=tenant or None), json=body)

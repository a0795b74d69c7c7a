"""The list of each agent's life, made from the facts about it: `GET /api/v1/agents/{id}/history`."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Principal, Scope
from ossa.contracts.agent_history import AGENT_TYPES, AgentHistoryStore, AgentMoment
from ossa.contracts.errors import OssaError
from ossa.contracts.events import SYSTEM_TENANT, Event
from ossa.events.consumer import Consumer
from ossa.gateway.api.agents import find_agent
from ossa.gateway.api.document import describe
from ossa.gateway.api.request import AgentsReader
from ossa.gateway.api.responses import json_response
from ossa.gateway.context import context_of
from ossa.gateway.core import GatewayCore
from ossa.gateway.hooks import Extension

logger = logging.getLogger(__name__)

NAME = "agent-history"
"""Names the extension and its consumer group."""

PRUNE_EVERY_S = 1800.0
_SUBJECT = "agent/"

router = APIRouter(tags=["Agents"])


class AgentHistoryPage(BaseModel):
    """What happened to an agent, newest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "data": [
                    {
                        "id": "agent/intelligence-003:8c1f0a2b9d3e4f55",
                        "agent": "intelligence-003",
                        "tenant": "_system",
                        "type": "ossa.agent.lost.v1",
                        "at": "2026-01-31T12:00:00.123456Z",
                        "outcome": "failed",
                        "reason": "its process died",
                        "pool": "intelligence",
                        "manifest": "analyst",
                        "version": "1.2.0",
                        "incarnation": "8c1f0a2b9d3e4f55",
                        "node": "f3a1",
                        "actor": "system/controller",
                        "request_id": "",
                    }
                ],
                "next": None,
            }
        }
    )

    data: list[AgentMoment]
    next: int | None = Field(description="`before` of the next page; null on the last one")


class AgentHistory:
    """Keeps the lists.

    Args:
        keep_days: a moment stays so long.
    """

    def __init__(self, store: AgentHistoryStore, *, keep_days: float) -> None:
        self._store = store
        self._keep = timedelta(days=keep_days)

    async def keep(self, event: Event) -> None:
        """Add what a fact tells; a second time changes nothing. Raises `StoreUnavailable`."""
        await self._store.add(moment_of(event))

    async def prune_forever(self) -> None:
        while True:
            try:
                removed = await self._store.prune(before=datetime.now(UTC) - self._keep)
                if removed:
                    logger.info("agent_history_removed", extra={"moments": removed})
            except OssaError as error:
                logger.warning("agent_history_not_removed", extra={"reason": error.message})
            await asyncio.sleep(PRUNE_EVERY_S)


def moment_of(event: Event) -> AgentMoment:
    """What a fact about an agent tells of its life."""
    data = event.data
    named = ("outcome", "reason", "pool", "manifest", "version", "incarnation", "node")
    return AgentMoment(
        id=event.id,
        agent=event.subject.removeprefix(_SUBJECT),
        tenant=event.tenant,
        type=event.type,
        at=event.time,
        actor=event.actor,
        request_id=event.requestid,
        **{name: str(data[name]) for name in named if data.get(name)},
    )


@router.get(
    "/api/v1/agents/{agent_id}/history",
    **describe(
        "An agent's life",
        "When it became ready, was lost, replaced and removed, and why; newest first. Shared agents and the tenant's "
        "own are seen, by the operator's admins all. It is made from facts, and follows them within a second or so.",
        scope=Scope.AGENTS_READ,
        answer=AgentHistoryPage,
        errors=(404,),
    ),
)
async def agent_history(
    request: Request,
    agent_id: str,
    caller: AgentsReader,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="the `next` of the page before")] = None,
) -> Response:
    context = context_of(request)
    store = context.core.stores.agent_history
    found: list[tuple[int, AgentMoment]] = []
    for tenant in _tenants(caller, context.core.operator_tenant):
        found = found or await store.of(agent_id, tenant=tenant, before=before, limit=limit + 1)
    if not found and before is None:
        await find_agent(context, caller, agent_id)
    page = found[:limit]
    following = page[-1][0] if len(found) > limit else None
    return json_response(AgentHistoryPage(data=[moment for _, moment in page], next=following))


def _tenants(caller: Principal, operator_tenant: str) -> tuple[str | None, ...]:
    """Whose moments the caller sees; None: everybody's. An agent's are of one tenant."""
    if Scope.ADMIN in caller.scopes and caller.tenant == operator_tenant:
        return (None,)
    return (caller.tenant, SYSTEM_TENANT)


def extension(core: GatewayCore, *, keep_days: float) -> Extension:
    """`keep_days`: moments stay so long."""
    history = AgentHistory(core.stores.agent_history, keep_days=keep_days)
    return Extension(
        NAME,
        routers=[router],
        service=history,
        schemas=[AgentHistoryPage],
        loops={"agent-history-retention": history.prune_forever},
        consumers={NAME: Consumer(history.keep, types=(AGENT_TYPES,))},
    )

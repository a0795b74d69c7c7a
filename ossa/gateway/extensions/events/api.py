"""`/api/v1/events/status`: who reads the fact log, what waits for Kafka, and who takes it there."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Scope
from ossa.contracts.events import EventStatus
from ossa.gateway.api.description import describe
from ossa.gateway.api.request import AgentsReader
from ossa.gateway.api.responses import json_response
from ossa.gateway.context import context_of
from ossa.gateway.extensions.events.eventing import Eventing

router = APIRouter(tags=["Fleet"])


@router.get(
    "/api/v1/events/status",
    **describe(
        "How events are doing",
        "The consumer groups of the fact log and how far they are behind; with Kafka, how many facts wait for it and "
        "for how long, whether the replica that answers is the one that exports, and how far the watched groups are.",
        scope=Scope.AGENTS_READ,
        answer=EventStatus,
    ),
)
async def event_status(request: Request, caller: AgentsReader) -> Response:
    return json_response(await context_of(request).service(Eventing, "events").status())

"""`/api/v1/tasks/{task_id}/feedback`: what users say of answers."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Scope
from ossa.contracts.errors import InvalidRequest, NotReady
from ossa.contracts.fleet import POOL_ALIASES, POOLS, FleetSnapshot
from ossa.contracts.routing import Feedback
from ossa.gateway.api.description import describe
from ossa.gateway.api.request import JsonBody, TasksCaller
from ossa.gateway.api.responses import checked, json_response
from ossa.gateway.api.tasks import check_task_id
from ossa.gateway.context import context_of
from ossa.gateway.extensions.routing.schemas import FeedbackBody, FeedbackView

router = APIRouter(tags=["Tasks"])

_RATINGS = {"up": 1.0, "down": 0.0}
_NAMED = 20


@router.post(
    "/api/v1/tasks/{task_id}/feedback",
    **describe(
        "Rate a task's answer",
        "Of a task that has ended. Routing learns from it; said again, it replaces what was said before.",
        scope=Scope.TASKS,
        answer=FeedbackView,
        body="FeedbackBody",
        errors=(404, 409),
    ),
)
async def rate_task(request: Request, task_id: str, caller: TasksCaller, body: JsonBody) -> Response:
    context = context_of(request)
    check_task_id(task_id)
    order = checked(FeedbackBody, body)
    feedback = Feedback(
        task_id=task_id,
        tenant=caller.tenant,
        rating=_RATINGS[order.rating] if isinstance(order.rating, str) else order.rating,
        comment=order.comment,
        expected=_known(order.expected, _snapshot(request), caller.tenant) if order.expected else "",
        at=datetime.now(UTC),
    )
    await context.core.stores.routing.rate(feedback)
    return json_response(FeedbackView(**feedback.model_dump(exclude={"tenant"})))


def _snapshot(request: Request) -> FleetSnapshot | None:
    try:
        return context_of(request).core.fleet.snapshot()
    except NotReady:
        return None


def _known(name: str, snapshot: FleetSnapshot | None, tenant: str) -> str:
    """A pool's or a manifest's name; an agent's id stands for its manifest. Without a fleet any name is taken.

    Raises `InvalidRequest`, naming some of what there is.
    """
    name = POOL_ALIASES.get(name, name)
    if snapshot is None:
        return name
    agents = [agent for agent in snapshot.agents if agent.tenant in (None, tenant)]
    manifests = {agent.manifest for agent in agents}
    pools = {*POOLS, *(pool.name for pool in snapshot.pools)}
    if name in pools or name in manifests:
        return name
    for agent in agents:
        if agent.agent_id == name:
            return agent.manifest
    listed = ", ".join([*sorted(pools), *sorted(manifests)[:_NAMED]])
    raise InvalidRequest(f"expected: no pool, manifest or agent is called {name[:64]!r}. Known: {listed}.", "expected")

"""`GET /v1/models`: what `model` may be."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Principal, Scope
from ossa.contracts.errors import NotFound
from ossa.contracts.fleet import POOL_ALIASES
from ossa.gateway.api.description import describe
from ossa.gateway.api.request import ChatCaller
from ossa.gateway.api.responses import json_response
from ossa.gateway.api.schemas import ModelCard, ModelList
from ossa.gateway.context import GatewayContext, context_of

router = APIRouter(tags=["OpenAI"])


@router.get("/v1/models", **describe("List what may be asked", scope=Scope.CHAT, answer=ModelList))
async def list_models(request: Request, caller: ChatCaller) -> Response:
    context = context_of(request)
    created = int(context.started_at)
    cards = [ModelCard(id=name, created=created) for name in _names(context, caller)]
    return json_response(ModelList(data=cards))


@router.get("/v1/models/{model:path}", **describe("One of them", scope=Scope.CHAT, answer=ModelCard, errors=(404,)))
async def get_model(request: Request, model: str, caller: ChatCaller) -> Response:
    context = context_of(request)
    kind, _, name = model.partition("/")
    agents = context.core.fleet.snapshot().agents if kind == "agent" else ()
    is_agent = any(agent.agent_id == name and agent.tenant in (None, caller.tenant) for agent in agents)
    is_alias = kind == "pool" and f"pool/{POOL_ALIASES.get(name, '')}" in _names(context, caller)
    if not (is_agent or is_alias or model in _names(context, caller)):
        raise NotFound(f"There is no model {model!r}; GET /v1/models lists them.", param="model")
    return json_response(ModelCard(id=model, created=int(context.started_at)))


def _names(context: GatewayContext, caller: Principal) -> list[str]:
    snapshot = context.core.fleet.snapshot()
    visible = [agent for agent in snapshot.agents if agent.tenant in (None, caller.tenant)]
    pools = [f"pool/{pool.name}" for pool in snapshot.pools]
    manifests = sorted({f"agent/{agent.manifest}" for agent in visible})
    return ["auto", *pools, *manifests]

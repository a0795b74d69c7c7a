"""`POST /v1/chat/completions`, not streamed; the streamed way is `chat_stream`."""

from __future__ import annotations

import hashlib
import time

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Scope
from ossa.contracts.errors import OssaError
from ossa.contracts.task import NewTask, TaskStatus
from ossa.gateway.api.answer import json_answer
from ossa.gateway.api.awaited import wait_for_outcome
from ossa.gateway.api.body import idempotency_key, json_body, wants_cache, wants_vortex
from ossa.gateway.api.caller import authenticate
from ossa.gateway.api.chat_order import ChatOrder, read_chat_order
from ossa.gateway.api.chat_stream import stream_chat
from ossa.gateway.api.completion import completion, outcome_headers
from ossa.gateway.api.description import describe
from ossa.gateway.api.failures import error_from, failure_answer
from ossa.gateway.api.schemas import ChatCompletion
from ossa.gateway.context import GatewayContext, context_of
from ossa.gateway.ids import new_task_id

router = APIRouter(tags=["OpenAI"])


@router.post(
    "/v1/chat/completions",
    **describe(
        "Ask the fleet",
        "`model` is `auto`, `pool/NAME` or `agent/NAME`. With `stream` the answer comes as server-sent events in "
        "OpenAI's form. With an `Idempotency-Key` the same body gives the same answer, and the task goes on when the "
        "client hangs up; without one it is cancelled then.",
        scope=Scope.CHAT,
        answer=ChatCompletion,
        body="ChatRequest",
        errors=(404, 409, 429, 499, 502, 504),
        idempotent=True,
        headers="chat",
        also_streams=True,
    ),
)
async def chat_completions(request: Request) -> Response:
    context = context_of(request)
    principal = await authenticate(request, Scope.CHAT)
    body = await json_body(request)
    order = read_chat_order(body, context.core.settings, vortex=wants_vortex(request), cache=wants_cache(request))
    key = idempotency_key(request)
    new = NewTask.model_construct(
        id=new_task_id(),
        tenant=principal.tenant,
        request=order.request,
        idempotency_key=key,
        body_sha256=body_digest("chat", body) if key is not None else "",
    )
    if order.stream:
        return await stream_chat(request, context, new, order)
    return await _answer_whole(request, context, new, order)


def body_digest(kind: str, body: dict[str, object]) -> str:
    """The same for the same JSON, however it is spaced and ordered."""
    return hashlib.sha256(kind.encode() + b"\n" + orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


async def _answer_whole(request: Request, context: GatewayContext, new: NewTask, order: ChatOrder) -> Response:
    chat = await context.dispatcher.chat(new)
    task_id = chat.task.id
    try:
        outcome = await wait_for_outcome(request, context, chat)
    except OssaError as error:
        return failure_answer(request, error, {"x-ossa-task-id": task_id})
    if outcome.status is not TaskStatus.SUCCEEDED:
        return failure_answer(request, error_from(outcome.error), outcome_headers(task_id, outcome))
    answer = completion(task_id, order.model, outcome, int(time.time()))
    return json_answer(answer, headers=outcome_headers(task_id, outcome))

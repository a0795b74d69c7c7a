"""`POST /v1/chat/completions`: reads the request, runs the task and answers, whole or as a stream."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Principal, Scope
from ossa.contracts.configuration import GatewaySettings
from ossa.contracts.errors import Cancelled, FleetBusy, InvalidRequest, NotFound, OssaError
from ossa.contracts.fleet import POOL_ALIASES, AgentInfo
from ossa.contracts.origin import Origin, current_origin
from ossa.contracts.task import Earlier, NewTask, Outcome, Task, TaskRequest, TaskStatus, Usage
from ossa.gateway.api.document import describe
from ossa.gateway.api.request import (
    ChatCaller,
    authenticate,
    cache_header,
    check_parameters,
    idempotency_key,
    json_body,
    read_messages,
    read_target,
    vortex_header,
)
from ossa.gateway.api.responses import EventStream, error_from, failure_response, hung_up, json_response, new_task_id
from ossa.gateway.api.schemas import ChatCompletion, ModelCard, ModelList
from ossa.gateway.context import GatewayContext, context_of
from ossa.gateway.dispatcher import Chat
from ossa.gateway.listener import Listener
from ossa.resilience.server_sent import encode_event


def completion_id(task_id: str) -> str:
    return "chatcmpl-" + task_id.removeprefix("task_")


def completion(task_id: str, model: str, outcome: Outcome, created: int) -> dict[str, Any]:
    """A `chat.completion` object."""
    message = dict(outcome.message or {"role": "assistant", "content": ""})
    message.setdefault("role", "assistant")
    message.setdefault("content", None)
    return {
        "id": completion_id(task_id),
        "object": "chat.completion",
        "created": created,
        "model": outcome.model or model,
        "choices": [
            {"index": 0, "message": message, "logprobs": None, "finish_reason": outcome.finish_reason or "stop"}
        ],
        "usage": usage_object(outcome.usage),
    }


def usage_object(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "saved_tokens": usage.saved_tokens,
        "cost_usd": usage.cost_usd,
    }


def outcome_headers(task_id: str, outcome: Outcome) -> dict[str, str]:
    """Returns the headers of an ended task."""
    usage = outcome.usage
    headers = {
        "x-ossa-task-id": task_id,
        "x-ossa-cost-usd": f"{usage.cost_usd:.8f}",
        "x-ossa-tokens-saved": str(usage.saved_tokens),
    }
    headers.update(earlier_headers(outcome.earlier))
    headers.update(budget_headers(outcome.over_soft))
    for name, value in (("agent", outcome.agent_id), ("pool", outcome.pool), ("model", outcome.model)):
        if value:
            headers[f"x-ossa-{name}"] = header_value(value)
    return headers


def earlier_headers(earlier: Earlier | None) -> dict[str, str]:
    """Returns the headers of an answer from the cache."""
    if earlier is None:
        return {}
    return {
        "x-ossa-cache": earlier.kind,
        "x-ossa-cache-similarity": f"{earlier.similarity:.4f}",
        "x-ossa-cache-age": f"{earlier.age_s:.0f}",
    }


def budget_headers(over_soft: Mapping[str, float]) -> dict[str, str]:
    """Returns the header of a task that brought budgets above their soft limits."""
    if not over_soft:
        return {}
    return {"x-ossa-budget": header_value("; ".join(f"{label}={share:.2f}" for label, share in over_soft.items()))}


def agent_headers(
    task_id: str, agent: AgentInfo | None, earlier: Earlier | None = None, over_soft: Mapping[str, float] | None = None
) -> dict[str, str]:
    """Returns the headers of a task that still streams: what it will cost is not known yet."""
    headers = {"x-ossa-task-id": task_id, **earlier_headers(earlier), **budget_headers(over_soft or {})}
    if agent is not None:
        headers["x-ossa-agent"] = header_value(agent.agent_id)
        headers["x-ossa-pool"] = header_value(agent.pool)
    return headers


def header_value(text: str) -> str:
    """Printable ASCII; a model's name may be anything."""
    return "".join(char if " " < char < "\x7f" else "_" for char in text[:256])


class Chunks:
    """The `chat.completion.chunk` events of one stream."""

    def __init__(self, task_id: str, model: str, created: int) -> None:
        self._head: dict[str, Any] = {
            "id": completion_id(task_id),
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }
        head = orjson.dumps(self._head)[:-1]
        self._before = b"data: " + head + b',"choices":[{"index":0,"delta":{"content":'
        self._after = b'},"logprobs":null,"finish_reason":null}]}\n\n'

    def first(self) -> bytes:
        return self._chunk({"role": "assistant", "content": ""}, None)

    def text(self, piece: str) -> bytes:
        return self._before + orjson.dumps(piece) + self._after

    def last(self, outcome: Outcome) -> bytes:
        """The reason, and tool calls the client is to run, if there are any."""
        calls = (outcome.message or {}).get("tool_calls")
        finish = self._chunk({}, outcome.finish_reason or "stop")
        if not isinstance(calls, list) or not calls:
            return finish
        numbered = [{**call, "index": i} for i, call in enumerate(calls) if isinstance(call, dict)]
        return self._chunk({"tool_calls": numbered}, None) + finish

    def usage(self, usage: Usage) -> bytes:
        return _data({**self._head, "choices": [], "usage": usage_object(usage)})

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _data({**self._head, "choices": [choice]})


DONE = b"data: [DONE]\n\n"


def stream_error(message: str, code: str, task_id: str) -> bytes:
    """An error after the stream began: its status was sent as 200 already."""
    error = {"message": message, "type": "api_error", "param": None, "code": code, "task_id": task_id}
    return _data({"error": error})


def _data(value: dict[str, Any]) -> bytes:
    return encode_event(orjson.dumps(value))


router = APIRouter(tags=["OpenAI"])

OWN_FIELDS = frozenset({"model", "messages", "stream", "stream_options", "n", "metadata", "timeout_s", "store"})
"""Fields that the gateway reads. All others are kept with the task, and the agent passes on those it knows."""

FOLLOW_GRACE_S = 10.0
KEEP_ALIVE_S = 15.0
KEEP_ALIVE = b": keep-alive\n\n"

T = TypeVar("T")


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
    params = read_chat(
        body,
        context.core.settings,
        vortex=vortex_header(request),
        cache=cache_header(request),
        origin=current_origin(),
    )
    key = idempotency_key(request)
    new = NewTask.model_construct(
        id=new_task_id(),
        tenant=principal.tenant,
        request=params.request,
        idempotency_key=key,
        body_sha256=body_digest("chat", body) if key is not None else "",
    )
    if params.stream:
        return await _answer_as_stream(request, new, params, principal)
    return await _answer_whole(request, new, params, principal)


def body_digest(kind: str, body: dict[str, object]) -> str:
    """Returns a hash that does not depend on the JSON's spacing and order of fields."""
    return hashlib.sha256(kind.encode() + b"\n" + orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


# The request


@dataclass(frozen=True)
class ChatParams:
    """A checked chat request. `model` is as the client wrote it."""

    model: str
    request: TaskRequest
    stream: bool
    include_usage: bool


def read_chat(
    body: dict[str, Any],
    settings: GatewaySettings,
    *,
    vortex: bool | None = None,
    cache: Literal["off", "refresh"] | None = None,
    origin: Origin | None = None,
) -> ChatParams:
    """Raises `InvalidRequest` or `NotFound`, each with `param`."""
    target = read_target(body.get("model"))
    messages = read_messages(body.get("messages"), at_most=settings.max_messages)
    if body.get("n") not in (None, 1):
        raise InvalidRequest("n must be 1: one request gives one answer.", param="n")
    stream = _flag(body, "stream")
    options = _object(body, "stream_options")
    if options and not stream:
        raise InvalidRequest("stream_options may only be given with stream.", param="stream_options")
    request = TaskRequest.model_construct(
        target=target,
        messages=messages,
        parameters=_parameters(body),
        metadata=_object(body, "metadata"),
        timeout_s=_timeout(body.get("timeout_s")),
        vortex=vortex,
        cache=cache,
        origin=origin,
    )
    include_usage = _flag(options, "include_usage", path="stream_options.include_usage")
    return ChatParams(model=body["model"], request=request, stream=stream, include_usage=include_usage)


def _timeout(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86_400:
        raise InvalidRequest("timeout_s must be a number of seconds from 0 to 86400.", param="timeout_s")
    return float(value)


def _parameters(body: dict[str, Any]) -> dict[str, Any]:
    parameters = {name: value for name, value in body.items() if name not in OWN_FIELDS and value is not None}
    if parameters:
        check_parameters(parameters)
    return parameters


def _flag(body: dict[str, Any], name: str, *, path: str | None = None) -> bool:
    value = body.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise InvalidRequest(f"{path or name} must be true or false.", param=path or name)


def _object(body: dict[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequest(f"{name} must be an object.", param=name)
    return value


# Wait for the outcome


async def wait_for_outcome(request: Request, context: GatewayContext, chat: Chat) -> Outcome:
    """Returns the task's outcome, from this replica or from the one that runs it by now.

    A client that hangs up cancels the task, unless it gave an Idempotency-Key. Raises `Cancelled` then.
    """
    return await _while_client_waits(request, chat, _outcome(context, chat))


async def _while_client_waits(request: Request, chat: Chat, result: Coroutine[Any, Any, T]) -> T:
    """Raises `Cancelled` when the client hangs up first."""
    waiting = asyncio.create_task(result, name="chat-result")
    gone = asyncio.create_task(hung_up(request.receive), name="chat-client")
    try:
        await asyncio.wait((waiting, gone), return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            abandon(chat)
            raise Cancelled("The client hung up.")
        return waiting.result()
    except asyncio.CancelledError:
        abandon(chat)  # Serve cancels the handler of a client that has gone
        raise
    finally:
        gone.cancel()
        waiting.cancel()


def abandon(chat: Chat) -> None:
    """Cancels a chat nobody waits for. A client with an Idempotency-Key may come back for the answer."""
    if chat.run is not None and chat.task.idempotency_key is None:
        chat.run.cancel()


async def _outcome(context: GatewayContext, chat: Chat) -> Outcome:
    """Raises `FleetBusy` when the task was put back, and what `Dispatcher.follow` raises."""
    if chat.run is not None and chat.run.end is not None:
        end = await asyncio.shield(chat.run.end)
        if end.ending == "released":
            raise end.error or FleetBusy("The fleet is full.", retry_after_s=1.0)
        if end.outcome is not None:
            return end.outcome
    elif chat.task.outcome is not None:
        return chat.task.outcome
    task = await _follow(context, chat.task)
    return task.outcome or Outcome(status=task.status)


async def _follow(context: GatewayContext, task: Task) -> Task:
    """Waits in the journal for the end of a task that another owner runs."""
    allowed_s = task.request.timeout_s or context.core.settings.default_timeout_s
    return await context.dispatcher.follow(task.id, tenant=task.tenant, at_most_s=allowed_s + FOLLOW_GRACE_S)


# The answer


async def _answer_whole(request: Request, new: NewTask, params: ChatParams, caller: Principal) -> Response:
    context = context_of(request)
    chat = await context.dispatcher.chat(new, caller=caller)
    task_id = chat.task.id
    try:
        outcome = await wait_for_outcome(request, context, chat)
    except OssaError as error:
        return failure_response(request, error, {"x-ossa-task-id": task_id})
    if outcome.status is not TaskStatus.SUCCEEDED:
        return failure_response(request, error_from(outcome.error), outcome_headers(task_id, outcome))
    answer = completion(task_id, params.model, outcome, int(time.time()))
    return json_response(answer, headers=outcome_headers(task_id, outcome))


async def _answer_as_stream(request: Request, new: NewTask, params: ChatParams, caller: Principal) -> Response:
    """A failure before the first piece gets an ordinary error response; later an `error` event ends the stream."""
    context = context_of(request)
    listener = Listener()
    chat = await context.dispatcher.chat(new, listener, caller=caller)
    task_id = chat.task.id
    listens = chat.run is not None and chat.run.listener is listener
    try:
        first = await _while_client_waits(request, chat, listener.pieces.get()) if listens else None
        if first is None:  # it ended without a piece
            outcome = await wait_for_outcome(request, context, chat)
            return _whole_as_stream(request, task_id, params, outcome)
    except OssaError as error:
        return failure_response(request, error, {"x-ossa-task-id": task_id})
    chunks = Chunks(task_id, params.model, int(time.time()))
    events = _events(context, chat, listener, chunks, first, include_usage=params.include_usage)
    headers = agent_headers(task_id, listener.agent, listener.earlier, listener.over_soft)
    return EventStream(events, headers, on_unread=lambda: abandon(chat))


def _whole_as_stream(request: Request, task_id: str, params: ChatParams, outcome: Outcome) -> Response:
    """Streams an answer that is there already: a repeated request's, or one without text."""
    headers = outcome_headers(task_id, outcome)
    if outcome.status is not TaskStatus.SUCCEEDED:
        return failure_response(request, error_from(outcome.error), headers)

    async def events() -> AsyncGenerator[bytes]:
        chunks = Chunks(task_id, params.model, int(time.time()))
        yield chunks.first()
        content = (outcome.message or {}).get("content")
        if isinstance(content, str) and content:
            yield chunks.text(content)
        yield _last_events(chunks, outcome, include_usage=params.include_usage)

    return EventStream(events(), headers)


async def _events(
    context: GatewayContext, chat: Chat, listener: Listener, chunks: Chunks, first: str, *, include_usage: bool
) -> AsyncGenerator[bytes]:
    task_id = chat.task.id
    ended = False
    try:
        yield chunks.first() + chunks.text(first)
        while True:
            piece = await _next_piece(listener)
            if piece is None:
                break
            yield KEEP_ALIVE if piece == "" else chunks.text(piece)
        ended = listener.diverged
        if listener.diverged:
            yield _diverged(task_id)
            return
        outcome = await _outcome(context, chat)
        ended = True
        if chat.run is not None and chat.run.end is not None and chat.run.end.result().ending == "lost":
            # Another owner ended the task: its answer need not continue what was sent.
            yield _diverged(task_id)
        elif outcome.status is TaskStatus.SUCCEEDED:
            yield _last_events(chunks, outcome, include_usage=include_usage)
        else:
            error = error_from(outcome.error)
            yield stream_error(f"{error.message} (task {task_id})", error.code, task_id)
    except OssaError as error:
        yield stream_error(f"{error.message} (task {task_id})", error.code, task_id)
    finally:
        if not ended:
            abandon(chat)


async def _next_piece(listener: Listener) -> str | None:
    """Returns the empty string when no piece came for `KEEP_ALIVE_S`."""
    try:
        async with asyncio.timeout(KEEP_ALIVE_S):
            return await listener.pieces.get()
    except TimeoutError:
        return ""


def _last_events(chunks: Chunks, outcome: Outcome, *, include_usage: bool) -> bytes:
    usage = chunks.usage(outcome.usage) if include_usage else b""
    return chunks.last(outcome) + usage + DONE


def _diverged(task_id: str) -> bytes:
    message = (
        f"The agent was lost and its successor's answer does not continue what was sent. "
        f"The task goes on: GET /api/v1/tasks/{task_id} has the answer."
    )
    return stream_error(message, "agent_lost", task_id)


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

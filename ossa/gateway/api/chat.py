"""`POST /v1/chat/completions`: reads the request, runs the task and answers, whole or as a stream."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Coroutine
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Principal, Scope
from ossa.contracts.configuration import GatewaySettings
from ossa.contracts.errors import Cancelled, FleetBusy, InvalidRequest, NotFound, OssaError
from ossa.contracts.fleet import POOL_ALIASES
from ossa.contracts.origin import Origin, current_origin
from ossa.contracts.task import Delta, NewTask, Outcome, Task, TaskRequest, TaskStatus
from ossa.gateway.api.completion import (
    CHAT,
    DONE,
    Chunks,
    Form,
    agent_headers,
    outcome_headers,
    stream_error,
)
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

router = APIRouter(tags=["OpenAI"])

OWN_FIELDS = frozenset({"model", "messages", "stream", "stream_options", "n", "metadata", "timeout_s", "store"})
"""Fields that the gateway reads. All others go to the model, but for what `ossa.contracts.parameters` refuses."""

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
    return await answer_chat(request, "chat", body, params, principal)


async def answer_chat(
    request: Request, kind: str, body: dict[str, Any], params: ChatParams, caller: Principal
) -> Response:
    """Runs a chat and answers. `kind` keeps the idempotency keys of different addresses apart."""
    key = idempotency_key(request)
    new = NewTask.model_construct(
        id=new_task_id(),
        tenant=caller.tenant,
        request=params.request,
        idempotency_key=key,
        body_sha256=body_digest(kind, body) if key is not None else "",
    )
    if params.stream:
        return await _answer_as_stream(request, new, params, caller)
    return await _answer_whole(request, new, params, caller)


def body_digest(kind: str, body: dict[str, object]) -> str:
    """Returns a hash that does not depend on the JSON's spacing and order of fields."""
    return hashlib.sha256(kind.encode() + b"\n" + orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


# The request


@dataclass(frozen=True)
class ChatParams:
    """A checked chat request. `model` is as the client wrote it, `form` how it is answered."""

    model: str
    request: TaskRequest
    stream: bool
    include_usage: bool
    form: Form = CHAT


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
    answer = params.form.whole(task_id, params.model, outcome, int(time.time()))
    return json_response(answer, headers=outcome_headers(task_id, outcome))


async def _answer_as_stream(request: Request, new: NewTask, params: ChatParams, caller: Principal) -> Response:
    """A failure before the first piece gets an ordinary error response; later an `error` event ends the stream.

    When nothing came for `first_byte_s`, the stream begins all the same: what stands between the client and us takes
    silence for a dead peer.
    """
    context = context_of(request)
    listener = Listener()
    began = context.core.clock()
    chat = await context.dispatcher.chat(new, listener, caller=caller)
    task_id = chat.task.id
    chunks = params.form.chunks(task_id, params.model, int(time.time()))
    stream = _Stream(context, chat, listener, chunks, params.include_usage)
    left_s = context.core.settings.first_byte_s - (context.core.clock() - began)
    try:
        first = await _while_client_waits(request, chat, _within(left_s, stream.first()))
    except OssaError as error:
        return failure_response(request, error, {"x-ossa-task-id": task_id})
    if isinstance(first, Outcome):
        headers = outcome_headers(task_id, first)
        if first.status is not TaskStatus.SUCCEEDED:
            return failure_response(request, error_from(first.error), headers)
        return EventStream(stream.whole(first), headers)
    headers = agent_headers(task_id, listener.agent, listener.earlier, listener.over_soft)
    return EventStream(stream.events(first), headers, on_unread=lambda: abandon(chat))


async def _within(seconds: float, result: Coroutine[Any, Any, T]) -> T | None:
    """The result; None when it takes longer."""
    try:
        async with asyncio.timeout(max(0.0, seconds)) as limit:
            return await result
    except TimeoutError:
        if not limit.expired():
            raise
        return None


class _Stream:
    """The events of one streamed chat."""

    def __init__(
        self, context: GatewayContext, chat: Chat, listener: Listener, chunks: Chunks, include_usage: bool
    ) -> None:
        self._context = context
        self._chat = chat
        self._listener = listener
        self._chunks = chunks
        self._include_usage = include_usage
        self._listens = chat.run is not None and chat.run.listener is listener
        self._begun = False
        """Whether a piece of the answer was sent."""

    async def first(self) -> Delta | Outcome:
        """The first piece, or how the task ended without one. Raises what `_outcome` raises."""
        piece = await self._listener.pieces.get() if self._listens else None
        if piece is None:
            self._listens = False
            return await _outcome(self._context, self._chat)
        return piece

    async def whole(self, outcome: Outcome) -> AsyncGenerator[bytes]:
        """An answer that is there already: a repeated request's, or one without text."""
        yield self._whole(outcome)

    async def events(self, first: Delta | None) -> AsyncGenerator[bytes]:
        """All events from the first piece on; None: it is still to come."""
        task_id = self._chat.task.id
        ended = False
        try:
            yield KEEP_ALIVE if first is None else self._piece(first)
            while self._listens and (piece := await _next_piece(self._listener)) is not None:
                yield KEEP_ALIVE if piece == "" else self._piece(piece)
            ended = self._listener.diverged
            if self._listener.diverged:
                yield _diverged(task_id)
                return
            outcome: Outcome | None = None
            while outcome is None:
                outcome = await _within(KEEP_ALIVE_S, _outcome(self._context, self._chat))
                if outcome is None:
                    yield KEEP_ALIVE
            ended = True
            yield self._last(outcome)
        except OssaError as error:
            yield stream_error(f"{error.message} (task {task_id})", error.code, task_id)
        finally:
            if not ended:
                abandon(self._chat)

    def _piece(self, delta: Delta) -> bytes:
        event = self._chunks.delta(delta)
        if self._begun:
            return event
        self._begun = True
        return self._chunks.first() + event

    def _last(self, outcome: Outcome) -> bytes:
        run, task_id = self._chat.run, self._chat.task.id
        lost = run is not None and run.end is not None and run.end.done() and run.end.result().ending == "lost"
        if lost and self._begun:
            # Another owner ended the task: its answer need not continue what was sent.
            return _diverged(task_id)
        if outcome.status is not TaskStatus.SUCCEEDED:
            error = error_from(outcome.error)
            return stream_error(f"{error.message} (task {task_id})", error.code, task_id)
        return self._ending(outcome) if self._begun else self._whole(outcome)

    def _whole(self, outcome: Outcome) -> bytes:
        listener = Listener()
        listener.ended(outcome)
        pieces = b""
        while (piece := listener.pieces.get_nowait()) is not None:
            pieces += self._chunks.delta(piece)
        return self._chunks.first() + pieces + self._ending(outcome)

    def _ending(self, outcome: Outcome) -> bytes:
        usage = self._chunks.usage(outcome.usage) if self._include_usage else b""
        return self._chunks.last(outcome) + usage + DONE


async def _next_piece(listener: Listener) -> Delta | None:
    """Returns the empty string when no piece came for `KEEP_ALIVE_S`."""
    try:
        async with asyncio.timeout(KEEP_ALIVE_S):
            return await listener.pieces.get()
    except TimeoutError:
        return ""


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

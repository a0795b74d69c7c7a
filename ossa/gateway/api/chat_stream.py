"""`POST /v1/chat/completions` with `stream`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.errors import Cancelled, OssaError
from ossa.contracts.task import NewTask, Outcome, TaskStatus
from ossa.gateway.api.answer import EventStream, hung_up
from ossa.gateway.api.awaited import abandon, outcome_of, wait_for_outcome
from ossa.gateway.api.chat_order import ChatOrder
from ossa.gateway.api.completion import DONE, Chunks, agent_headers, outcome_headers, stream_error
from ossa.gateway.api.failures import error_from, failure_answer
from ossa.gateway.context import GatewayContext
from ossa.gateway.dispatcher import Chat
from ossa.gateway.listener import Listener

KEEP_ALIVE_S = 15.0
KEEP_ALIVE = b": keep-alive\n\n"


async def stream_chat(request: Request, context: GatewayContext, new: NewTask, order: ChatOrder) -> Response:
    """What fails before the first piece is an ordinary error answer; afterwards an `error` event ends the stream."""
    listener = Listener()
    chat = await context.dispatcher.chat(new, listener)
    task_id = chat.task.id
    heard = chat.run is not None and chat.run.listener is listener
    try:
        first = await _first_piece(request, chat, listener) if heard else None
        if first is None:
            outcome = await wait_for_outcome(request, context, chat)
            return _whole_as_stream(request, task_id, order, outcome)
    except OssaError as error:
        return failure_answer(request, error, {"x-ossa-task-id": task_id})
    chunks = Chunks(task_id, order.model, int(time.time()))
    events = _events(context, chat, listener, chunks, first, include_usage=order.include_usage)
    headers = agent_headers(task_id, listener.agent, listener.earlier, listener.over_soft)
    return EventStream(events, headers, unheard=lambda: abandon(chat))


async def _first_piece(request: Request, chat: Chat, listener: Listener) -> str | None:
    """None: it ended without one. Raises `Cancelled` when the client hangs up before."""
    piece = asyncio.create_task(listener.pieces.get(), name="first-piece")
    gone = asyncio.create_task(hung_up(request.receive), name="stream-client")
    try:
        await asyncio.wait((piece, gone), return_when=asyncio.FIRST_COMPLETED)
        if not piece.done():
            abandon(chat)
            raise Cancelled("The client hung up.")
        return piece.result()
    except asyncio.CancelledError:
        abandon(chat)
        raise
    finally:
        piece.cancel()
        gone.cancel()


def _whole_as_stream(request: Request, task_id: str, order: ChatOrder, outcome: Outcome) -> Response:
    """An answer that is there already: a repeated request's, or one without text."""
    headers = outcome_headers(task_id, outcome)
    if outcome.status is not TaskStatus.SUCCEEDED:
        return failure_answer(request, error_from(outcome.error), headers)

    async def events() -> AsyncGenerator[bytes]:
        chunks = Chunks(task_id, order.model, int(time.time()))
        yield chunks.first()
        content = (outcome.message or {}).get("content")
        if isinstance(content, str) and content:
            yield chunks.text(content)
        yield _ending(chunks, outcome, include_usage=order.include_usage)

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
        outcome = await outcome_of(context, chat)
        ended = True
        if chat.run is not None and chat.run.end is not None and chat.run.end.result().ending == "lost":
            # Another owner ended it: what it said need not continue what was sent.
            yield _diverged(task_id)
        elif outcome.status is TaskStatus.SUCCEEDED:
            yield _ending(chunks, outcome, include_usage=include_usage)
        else:
            error = error_from(outcome.error)
            yield stream_error(f"{error.message} (task {task_id})", error.code, task_id)
    except OssaError as error:
        yield stream_error(f"{error.message} (task {task_id})", error.code, task_id)
    finally:
        if not ended:
            abandon(chat)


async def _next_piece(listener: Listener) -> str | None:
    """The empty string when nothing came for a while."""
    try:
        async with asyncio.timeout(KEEP_ALIVE_S):
            return await listener.pieces.get()
    except TimeoutError:
        return ""


def _ending(chunks: Chunks, outcome: Outcome, *, include_usage: bool) -> bytes:
    usage = chunks.usage(outcome.usage) if include_usage else b""
    return chunks.last(outcome) + usage + DONE


def _diverged(task_id: str) -> bytes:
    message = (
        f"The agent was lost and its successor's answer does not continue what was sent. "
        f"The task goes on: GET /api/v1/tasks/{task_id} has the answer."
    )
    return stream_error(message, "agent_lost", task_id)

"""Wait for a chat's outcome, wherever it runs, for as long as the client does."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from ossa.contracts.errors import Cancelled, FleetBusy
from ossa.contracts.task import Outcome, Task
from ossa.gateway.api.answer import hung_up
from ossa.gateway.context import GatewayContext
from ossa.gateway.dispatcher import Chat

FOLLOW_GRACE_S = 10.0


async def wait_for_outcome(request: Request, context: GatewayContext, chat: Chat) -> Outcome:
    """The task's outcome, from here or from wherever it runs by now.

    A client that hangs up cancels the task, unless it gave an Idempotency-Key. Raises `Cancelled` then.
    """
    waiting = asyncio.create_task(outcome_of(context, chat), name="chat-outcome")
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
    """Nobody waits for it any more; only who has a key may come back."""
    if chat.run is not None and chat.task.idempotency_key is None:
        chat.run.cancel()


async def outcome_of(context: GatewayContext, chat: Chat) -> Outcome:
    """Raises `FleetBusy` when the task had to be put back, and what `follow` raises."""
    if chat.run is not None and chat.run.end is not None:
        end = await asyncio.shield(chat.run.end)
        if end.ending == "released":
            raise end.error or FleetBusy("The fleet is full.", retry_after_s=1.0)
        if end.outcome is not None:
            return end.outcome
    elif chat.task.outcome is not None:
        return chat.task.outcome
    return ended_outcome(await follow(context, chat.task))


async def follow(context: GatewayContext, task: Task) -> Task:
    """It has another owner, or was known before: wait for its end in the journal."""
    allowed_s = task.request.timeout_s or context.core.settings.default_timeout_s
    return await context.dispatcher.follow(task.id, tenant=task.tenant, at_most_s=allowed_s + FOLLOW_GRACE_S)


def ended_outcome(task: Task) -> Outcome:
    return task.outcome or Outcome(status=task.status)

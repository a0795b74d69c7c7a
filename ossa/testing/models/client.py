"""A scripted model in the process: the `ModelClient` for unit tests, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from ossa.contracts.errors import OssaError
from ossa.contracts.model import ModelReply, ModelRequest
from ossa.contracts.task import Message, Usage
from ossa.testing.models.script import Plan, pieces, plan

Scripted = Message | OssaError | Exception
"""One answer: an assistant message, or what the call raises."""


class ScriptedModel:
    """Answers as `ossa.testing.models.script` says, or the given answers one after the other (and then as it says).

    `requests` holds every call. `hold()` makes calls wait until `go()`.
    """

    def __init__(self, answers: Sequence[Scripted] = (), *, usd_per_token: float = 0.0) -> None:
        self._answers = list(answers)
        self._usd_per_token = usd_per_token
        self._gate = asyncio.Event()
        self._gate.set()
        self.requests: list[ModelRequest] = []
        self.cancelled = 0
        self.closed = False

    def hold(self) -> None:
        self._gate.clear()

    def go(self) -> None:
        self._gate.set()

    async def complete(self, request: ModelRequest) -> ModelReply:
        self.requests.append(request)
        try:
            await self._gate.wait()
            answer = plan(request.messages)
            if answer.delay_s:
                await asyncio.sleep(answer.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if not self._answers:
            return self._reply(request, answer.message(), answer)
        given = self._answers.pop(0)
        if isinstance(given, Exception):
            raise given
        return self._reply(request, given, answer)

    async def stream(self, request: ModelRequest) -> AsyncIterator[str | ModelReply]:
        reply = await self.complete(request)
        for piece in pieces(reply.message.get("content") or ""):
            yield piece
        yield reply

    async def close(self) -> None:
        self.closed = True

    def _reply(self, request: ModelRequest, message: Message, answer: Plan) -> ModelReply:
        text = message.get("content") or ""
        usage = Usage(
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=max(1, len(text) // 4),
            cost_usd=(answer.prompt_tokens + max(1, len(text) // 4)) * self._usd_per_token,
            model_calls=1,
        )
        finish = "tool_calls" if message.get("tool_calls") else "stop"
        return ModelReply(message=message, finish_reason=finish, model=request.model, usage=usage)


def tool_call(name: str, arguments: str = "{}", call_id: str = "call_0") -> Message:
    """An assistant message that calls one tool."""
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}],
    }


def single_client(model: ScriptedModel) -> Callable[[object], ScriptedModel]:
    """`clients` for `AgentTurn`: every endpoint is served by this model."""
    return lambda _endpoint: model

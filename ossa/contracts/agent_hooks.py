"""The seam round an agent's model calls and tool calls.

A hook is an interceptor in the agent's process. It may observe a call, change its request, refuse it (raise an
`OssaError`) or answer in its place (not call `proceed`):

    class NoSecrets(AgentHook):
        async def tool_call(self, call, context, proceed):
            if "BEGIN PRIVATE KEY" in call.arguments:
                raise InvalidRequest("a private key may not be handed to a tool")
            result = await proceed(call)
            log.info("tool_ran", extra={"key": context.idempotency_key, "is_error": result.is_error})
            return result

    HOOK = NoSecrets()

`RunnerFactory(..., agent_hooks=("my_package.hooks:HOOK",))` names it by its import path; the name may also be a class
or a function that makes the hook. The first hook is the outermost. One hook serves all turns of its process at once.

What a hook raises is the call's error: of a model call as if the model had failed so, of a tool call as a result that
tells the model. Anything but an `OssaError` is logged, counted and becomes an internal error that names the hook.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from ossa.contracts.model import ModelReply, ModelRequest


class ToolCall(NamedTuple):
    """One call as the model wrote it; `arguments` is raw text, JSON if the model got it right."""

    call_id: str
    name: str
    arguments: str


class ToolResult(NamedTuple):
    """What the model is told of a call."""

    content: str
    is_error: bool = False


class HookContext(NamedTuple):
    """Which call this is. `step` is the `seq` that the turn's next step gets.

    `idempotency_key` is the same when the call is made again after a takeover.
    """

    task_id: str
    tenant: str
    agent_id: str
    manifest: str
    step: int
    idempotency_key: str


ProceedModel = Callable[[ModelRequest], Awaitable[ModelReply]]
ProceedTool = Callable[[ToolCall], Awaitable[ToolResult]]


class AgentHook(Protocol):
    """Subclass it and override what you need; a method that is not overridden costs nothing.

    `proceed` makes the call and may be called once. Both methods run within the turn's time, and are cancelled with it.
    """

    changes_replies: bool = False
    """Set it when `model_call` may change a reply or refuse it after `proceed`: the text of an answer is then not
    streamed piece by piece, but sent once all hooks have agreed to it."""

    async def model_call(self, request: ModelRequest, context: HookContext, proceed: ProceedModel) -> ModelReply:
        """Round one model call, once for each model of a cascade. Text streams to the caller while `proceed` runs.

        More completion tokens than the request allowed are not granted. A reply in place of the model's has the
        `usage` that is to be recorded.
        """
        return await proceed(request)

    async def tool_call(self, call: ToolCall, context: HookContext, proceed: ProceedTool) -> ToolResult:
        """Round one call of an agent's own tool, after it was written to the journal. Calls run side by side.

        The journal has the call as the model wrote it; a changed `call_id` is ignored.
        """
        return await proceed(call)

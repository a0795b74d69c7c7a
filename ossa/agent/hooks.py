"""Loads an agent's hooks and wraps calls in them."""

from __future__ import annotations

import importlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from ossa.contracts.agent_hooks import AgentHook, HookContext, ProceedModel, ProceedTool, ToolResult
from ossa.contracts.errors import OssaError
from ossa.contracts.model import ModelReply

log = logging.getLogger("ossa.agent")

In = TypeVar("In")
Out = TypeVar("Out")
Proceed = Callable[[In], Awaitable[Out]]
Intercept = Callable[[In, HookContext, Proceed[In, Out]], Awaitable[Out]]


def load_hooks(paths: Sequence[str]) -> tuple[AgentHook, ...]:
    """The hooks at these import paths (`module:NAME`), in their order.

    Raises `ImportError` for what cannot be imported and `TypeError` for what is no hook; both name the path.
    """
    return tuple(_load(path) for path in paths)


def _load(path: str) -> AgentHook:
    module, _, name = path.partition(":")
    try:
        hook: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ImportError(f"cannot import the agent hook {path!r} (expected module:NAME): {error}") from error
    if callable(hook):
        hook = hook()
    if not (callable(getattr(hook, "model_call", None)) or callable(getattr(hook, "tool_call", None))):
        raise TypeError(f"the agent hook {path!r} has neither model_call nor tool_call")
    return hook  # type: ignore[no-any-return]


class HookChain:
    """The hooks of one agent. `failures` counts unexpected exceptions, by hook."""

    def __init__(self, hooks: Sequence[AgentHook] = ()) -> None:
        self._model = [hook for hook in hooks if _overrides(hook, "model_call")]
        self._tool = [hook for hook in hooks if _overrides(hook, "tool_call")]
        self.holds_stream = any(getattr(hook, "changes_replies", False) for hook in self._model)
        self.failures: Counter[str] = Counter()

    def model_call(self, context: Callable[[], HookContext], proceed: ProceedModel) -> ProceedModel:
        """`proceed`, wrapped; itself where no hook wants model calls."""
        return self._wrapped([hook.model_call for hook in self._model], context, proceed, ModelReply)

    def tool_call(self, context: Callable[[], HookContext], proceed: ProceedTool) -> ProceedTool:
        return self._wrapped([hook.tool_call for hook in self._tool], context, proceed, ToolResult)

    def _wrapped(
        self,
        intercepts: list[Intercept[In, Out]],
        context: Callable[[], HookContext],
        proceed: Proceed[In, Out],
        returns: type[Out],
    ) -> Proceed[In, Out]:
        if intercepts:
            described = context()
            for intercept in reversed(intercepts):
                proceed = self._guarded(intercept, described, proceed, returns)
        return proceed

    def _guarded(
        self, intercept: Intercept[In, Out], context: HookContext, proceed: Proceed[In, Out], returns: type[Out]
    ) -> Proceed[In, Out]:
        name = type(getattr(intercept, "__self__", intercept)).__qualname__

        async def call(value: In) -> Out:
            proceeded = False
            inner: Exception | None = None

            async def once(value: In) -> Out:
                nonlocal proceeded, inner
                if proceeded:
                    raise RuntimeError("a hook may proceed once")
                proceeded = True
                try:
                    return await proceed(value)
                except Exception as error:
                    inner = error
                    raise

            try:
                result = await intercept(value, context, once)
                if not isinstance(result, returns):
                    raise TypeError(f"returned a {type(result).__name__} instead of a {returns.__name__}")
                return result
            except OssaError:
                raise
            except Exception as error:
                if error is inner:
                    raise
                self.failures[name] += 1
                log.exception("agent_hook_failed", extra={"hook": name, "task_id": context.task_id})
                raise OssaError(f"the agent's hook {name} failed; the agent's log has the cause") from error

        return call


def _overrides(hook: AgentHook, method: str) -> bool:
    own = getattr(type(hook), method, None)
    return own is not None and own is not getattr(AgentHook, method)

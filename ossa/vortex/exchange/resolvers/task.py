"""`{STATE:task:TASK_ID:status}` and other values of a task, read from the journal.

STATE    status, attempts, steps, agent, pool, finish_reason, error
CONTEXT  request (its last user message), answer
DATA     tool_results (JSON lines)
METRICS  tokens, prompt_tokens, completion_tokens, model_calls, cost_usd
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from ossa.contracts.task import Message, Step, Task, Usage
from ossa.vortex.exchange.call import ResolveCall
from ossa.vortex.exchange.placeholder import PlaceholderType
from ossa.vortex.exchange.resolvers.fields import Fields, read


class TaskReader(Protocol):
    """The part of `ossa.contracts.stores.Journal` that is needed."""

    async def get(self, task_id: str, *, tenant: str | None = None) -> Task:
        """Raises `NotFound`, also when the task is another tenant's."""

    async def steps(self, task_id: str, *, tenant: str | None = None, after: int = -1) -> list[Step]: ...


@dataclass(frozen=True, slots=True)
class TaskStory:
    task: Task
    steps: list[Step]

    @property
    def usage(self) -> Usage:
        """Of the outcome, and of the steps so far while there is none."""
        if self.task.outcome is not None:
            return self.task.outcome.usage
        total = Usage()
        for step in self.steps:
            total = total.plus(step.usage)
        return total

    @property
    def request(self) -> str:
        return next((_text(found) for found in reversed(self.task.request.messages) if found.get("role") == "user"), "")

    @property
    def answer(self) -> str:
        outcome = self.task.outcome
        return _text(outcome.message) if outcome is not None and outcome.message is not None else ""

    @property
    def agent(self) -> str:
        outcome = self.task.outcome
        if outcome is not None and outcome.agent_id:
            return outcome.agent_id
        return self.steps[-1].agent_id if self.steps else ""

    @property
    def tool_results(self) -> str:
        wanted = ("call_id", "name", "content", "is_error")
        found = [step.payload for step in self.steps if step.kind == "tool_result"]
        lines = [orjson.dumps({key: payload.get(key) for key in wanted}).decode() for payload in found]
        return "\n".join(lines)


FIELDS: Fields[TaskStory] = {
    PlaceholderType.STATE: {
        "status": lambda story: str(story.task.status),
        "attempts": lambda story: str(story.task.attempts),
        "steps": lambda story: str(len(story.steps)),
        "agent": lambda story: story.agent,
        "pool": lambda story: (story.task.outcome.pool or "") if story.task.outcome else "",
        "finish_reason": lambda story: (story.task.outcome.finish_reason or "") if story.task.outcome else "",
        "error": lambda story: _error(story.task),
    },
    PlaceholderType.CONTEXT: {
        "request": lambda story: story.request,
        "answer": lambda story: story.answer,
    },
    PlaceholderType.DATA: {"tool_results": lambda story: story.tool_results},
    PlaceholderType.METRICS: {
        "tokens": lambda story: str(story.usage.total_tokens),
        "prompt_tokens": lambda story: str(story.usage.prompt_tokens),
        "completion_tokens": lambda story: str(story.usage.completion_tokens),
        "model_calls": lambda story: str(story.usage.model_calls),
        "cost_usd": lambda story: f"{story.usage.cost_usd:.6f}",
    },
}


@dataclass(frozen=True, slots=True)
class TaskResolver:
    """Another tenant's task is as absent as one that never was."""

    journal: TaskReader

    async def __call__(self, call: ResolveCall) -> str:
        """Raises `NotFound`, `StoreUnavailable`."""
        task = await self.journal.get(call.placeholder.scope, tenant=call.tenant)
        return read(FIELDS, call.placeholder, TaskStory(task, await self.journal.steps(task.id, tenant=call.tenant)))


def _text(message: Message) -> str:
    content: Any = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _error(task: Task) -> str:
    error = task.outcome.error if task.outcome is not None else None
    return f"{error.code}: {error.message}" if error is not None else ""

"""A turn's conversation: the request, and the steps done for it, here or before a takeover.

No IO. It is the turn's only state, so a turn that continues elsewhere rebuilds it from the steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ossa.agent.tool_calls import ToolCall, calls_of, idempotency_key, with_unique_ids
from ossa.contracts.model import ModelReply
from ossa.contracts.task import Message, Step, StepKind, TaskRequest, Usage
from ossa.models.estimate import message_tokens, prompt_tokens

_SENT_BACK = frozenset({"role", "content", "tool_calls", "refusal", "name"})
"""What of an assistant message goes back to the model; some endpoints refuse their own extra fields."""


class Conversation:
    """Messages to send, calls to answer, tokens used."""

    def __init__(self, role: str, request: TaskRequest, steps: Sequence[Step], *, agent_id: str) -> None:
        self._agent_id = agent_id
        self._messages = _opening(role, request.messages)
        self._taken = {call.call_id for message in request.messages for call in calls_of(message)}
        self._open: dict[str, ToolCall] = {}
        self._results: dict[str, str] = {}
        self._intents: set[str] = set()
        self._counted = 0
        self.usage = Usage()
        self.last: Step | None = None
        self.tools_ran = False
        self.next_seq = steps[-1].seq + 1 if steps else 0
        self.uncommitted: list[Step] = []
        for step in steps:
            self._take(step)
        self.interrupted = frozenset(self._intents & self._open.keys())
        """Calls that an earlier attempt meant to run; nobody knows whether it did."""

    def _take(self, step: Step) -> None:
        payload = step.payload
        self.usage = self.usage.plus(step.usage)
        if step.kind == "model":
            self._take_message(payload["message"], step)
        elif step.kind == "tool_call":
            self._intents.add(payload["call_id"])
        elif step.kind == "tool_result":
            self._take_result(payload["call_id"], payload["content"])

    def _take_message(self, message: Message, step: Step) -> None:
        self.last = step
        self._messages = self.messages()  # the answers to the calls before this message stay
        calls = calls_of(message)
        self._open = {call.call_id: call for call in calls}
        self._results = {}
        self._taken.update(self._open)
        self._messages = [*self._messages, {key: message[key] for key in message if key in _SENT_BACK}]
        self._counted = step.usage.total_tokens

    def _take_result(self, call_id: str, content: str) -> None:
        self._results[call_id] = content
        self.tools_ran = True

    # What a turn asks.

    def pending(self) -> list[ToolCall]:
        """Calls of the last assistant message without a result, in its order."""
        return [call for call_id, call in self._open.items() if call_id not in self._results]

    def messages(self) -> list[Message]:
        """All messages for the next model call; tool results in the order of their calls, however they came."""
        return [*self._messages, *self._answers()]

    def _answers(self) -> list[Message]:
        return [
            {"role": "tool", "tool_call_id": call_id, "content": self._results[call_id]}
            for call_id in self._open
            if call_id in self._results
        ]

    def prompt_estimate(self, tools: Sequence[dict[str, Any]]) -> int:
        """Tokens of the next prompt: the endpoint's own count so far, and an estimate of what came since."""
        if self._counted:
            return self._counted + sum(message_tokens(message) for message in self._answers())
        return prompt_tokens(self._messages, tools)

    # What a turn adds. New steps are uncommitted until the turn says otherwise.

    def named(self, message: Message) -> Message:
        """The model's message, its call ids unique in this task."""
        return with_unique_ids(message, seq=self.next_seq, taken=self._taken)

    def add_reply(self, reply: ModelReply, message: Message, at: datetime) -> None:
        """`message` is the reply's, after `named`."""
        finish = "tool_calls" if message.get("tool_calls") else reply.finish_reason
        payload = {"message": message, "finish_reason": finish, "model": reply.model}
        self._take(self._step("model", payload, at, reply.usage))

    def add_intents(self, task_id: str, calls: Sequence[ToolCall], at: datetime) -> None:
        """Write down which calls will be run, where that is not written down yet."""
        for call in calls:
            if call.call_id in self._intents:
                continue
            payload = {
                "call_id": call.call_id,
                "name": call.name,
                "arguments": call.arguments,
                "idempotency_key": idempotency_key(task_id, call.call_id),
            }
            self._take(self._step("tool_call", payload, at))

    def add_result(self, call: ToolCall, content: str, at: datetime, *, is_error: bool) -> None:
        payload = {"call_id": call.call_id, "name": call.name, "content": content, "is_error": is_error}
        self._take(self._step("tool_result", payload, at))

    def _step(self, kind: StepKind, payload: dict[str, Any], at: datetime, usage: Usage | None = None) -> Step:
        step = Step(
            seq=self.next_seq, kind=kind, agent_id=self._agent_id, payload=payload, usage=usage or Usage(), at=at
        )
        self.next_seq += 1
        self.uncommitted.append(step)
        return step


def _opening(role: str, messages: Sequence[Message]) -> list[Message]:
    """The manifest's role first. A system message that the request begins with is joined to it, because
    many chat templates take one system message and no more."""
    if not role:
        return list(messages)
    first = messages[0] if messages else {}
    if first.get("role") == "system" and isinstance(first.get("content"), str):
        return [{"role": "system", "content": f"{role}\n\n{first['content']}"}, *messages[1:]]
    return [{"role": "system", "content": role}, *messages]

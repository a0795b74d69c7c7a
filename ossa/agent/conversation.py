"""A turn's conversation: the request, and the steps done for it, here or before a takeover.

No IO. It is the turn's only state, so a turn that continues elsewhere rebuilds it from the steps.
The journal has every content whole; what the model is shown in its place is in the `context` steps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from ossa.agent.tools import calls_of, idempotency_key, with_unique_ids
from ossa.contracts.agent_hooks import ToolCall
from ossa.contracts.configuration import Endpoint
from ossa.contracts.model import ModelReply
from ossa.contracts.origin import NOWHERE
from ossa.contracts.task import Message, Step, StepKind, TaskRequest, Usage
from ossa.models.usage import message_tokens, most_message_tokens, most_prompt_tokens, prompt_tokens

FETCH = "fetch_original"
"""The tool that fetches back what was left out of a content."""

_OPENAI = frozenset({"role", "content", "tool_calls", "refusal", "name"})
"""Fields of an assistant message that go back to any model."""

_OPENAI_CALL = frozenset({"id", "type", "function"})

_NOT_SENT_BACK = frozenset({"annotations", "audio", "function_call"})
"""Further fields that are for the reader alone: OpenAI's own API takes them in no request, or in another form."""


def endpoint_mark(endpoint: Endpoint) -> str:
    """Names an endpoint and its model without telling where it is."""
    return hashlib.sha256(f"{endpoint.base_url}\n{endpoint.model}".encode()).hexdigest()[:16]


def _plain(message: Message) -> Message:
    """The message as any endpoint takes it."""
    plain = {key: value for key, value in message.items() if key in _OPENAI}
    if calls := plain.get("tool_calls"):
        plain["tool_calls"] = [{key: call[key] for key in call if key in _OPENAI_CALL} for call in calls]
    return plain


def _full(message: Message) -> Message:
    """The message as the endpoint that said it takes it: with its reasoning, its signatures, its calls' own fields."""
    return {
        key: value
        for key, value in message.items()
        if key in _OPENAI or (key not in _NOT_SENT_BACK and value not in (None, "", [], {}))
    }


@dataclass(frozen=True)
class Shown:
    """A text shown to the model in place of a content. `handle` names the original, as the text does."""

    text: str
    tokens_before: int
    tokens_after: int
    handle: str = ""

    @property
    def saved_tokens(self) -> int:
        return self.tokens_before - self.tokens_after


@dataclass(slots=True)
class Entry:
    """One message, whole. `key` names the content of a tool's result for `Shown`; `name` the tool, where known.

    `full` is the message as the endpoint with the mark `said_by` said it, where that is more than any endpoint takes.
    """

    message: Message
    key: str = ""
    name: str = ""
    sent: bool = False
    full: Message | None = None
    said_by: str = ""


class Conversation:
    """Messages to send, calls to answer, tokens used."""

    def __init__(self, role: str, request: TaskRequest, steps: Sequence[Step], *, agent_id: str) -> None:
        self._agent_id = agent_id
        self._asked = request.messages
        self._entries = _entries(role, request.messages)
        self._shown: dict[str, Shown] = {}
        self.role_resolved = False
        self.look_ups = 0
        """Model calls that asked for nothing but what was left out."""
        self.rejected: list[Step] = []
        """Answers of cheaper models that did not hold."""
        self.last_rejected: Step | None = None
        """The last of them, while nothing came after it."""
        self.fetchable = False
        """Whether the model is offered the tool that fetches originals."""
        self._origin = request.origin or NOWHERE
        self._taken = {call.call_id for message in request.messages for call in calls_of(message)}
        self._open: dict[str, ToolCall] = {}
        self._results: dict[str, str] = {}
        self._intents: set[str] = set()
        self._counted = 0
        self._counted_by: Endpoint | None = None
        """Whose count it is; None: an earlier attempt's."""
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
        if step.kind == "model" and "rejected" in payload:
            self.rejected.append(step)
            self.last_rejected = step
        elif step.kind == "model":
            self._take_message(payload["message"], step)
        elif step.kind == "context" and "role" in payload:
            self.role_resolved = True
            self._entries = _entries(payload["role"], self._asked, ending=payload["values"])
        elif step.kind == "context":
            self._shown.update({key: Shown(**shown) for key, shown in payload["shown"].items()})
            self.fetchable = bool(payload["offered"])
        elif step.kind == "tool_call":
            self._intents.add(payload["call_id"])
        elif step.kind == "tool_result":
            self._take_result(payload["call_id"], payload["content"])

    def _take_message(self, message: Message, step: Step) -> None:
        self.last = step
        self.last_rejected = None
        self._entries = self.entries()  # the answers to the calls before this message stay
        for entry in self._entries:
            entry.sent = True
        calls = calls_of(message)
        self.look_ups += bool(calls) and all(call.name == FETCH for call in calls)
        self._open = {call.call_id: call for call in calls}
        self._results = {}
        self._taken.update(self._open)
        said_by = step.payload.get("endpoint", "")
        self._entries.append(Entry(_plain(message), full=_full(message) if said_by else None, said_by=said_by))
        self._counted = step.usage.total_tokens
        self._counted_by = None

    def _take_result(self, call_id: str, content: str) -> None:
        self._results[call_id] = content
        self.tools_ran = True

    # Queries

    def pending(self) -> list[ToolCall]:
        """Calls of the last assistant message without a result, in its order."""
        return [call for call_id, call in self._open.items() if call_id not in self._results]

    def entries(self) -> list[Entry]:
        """All messages, whole; tool results in the order of their calls, however they came."""
        return [*self._entries, *self._answers()]

    def messages(self, endpoint: Endpoint | None = None, *, without: Collection[str] = ()) -> list[Message]:
        """All messages for the next model call. What `endpoint` said itself is as it said it.

        Args:
            without: names of fields that the endpoint sends and does not take back.
        """
        entries = self.entries()
        if endpoint is None or not any(entry.said_by for entry in entries):
            return [self._as_shown(entry) for entry in entries]
        mark = endpoint_mark(endpoint)
        return [
            {key: value for key, value in entry.full.items() if key not in without}
            if entry.full is not None and entry.said_by == mark
            else self._as_shown(entry)
            for entry in entries
        ]

    def shown(self, key: str) -> Shown | None:
        return self._shown.get(key)

    def original(self, handle: str) -> str | None:
        """The content that is shown with this handle; None when it is none of this conversation's."""
        for entry in self.entries():
            shown = self._shown.get(entry.key)
            if shown is not None and shown.handle == handle:
                return str(entry.message["content"])
        return None

    @property
    def saved_tokens(self) -> int:
        """Tokens by which the next prompt is shorter than the whole one."""
        return sum(shown.saved_tokens for shown in self._shown.values())

    def _as_shown(self, entry: Entry) -> Message:
        shown = self._shown.get(entry.key) if entry.key else None
        return entry.message if shown is None else {**entry.message, "content": shown.text}

    def _answers(self) -> list[Entry]:
        return [
            Entry(
                {"role": "tool", "tool_call_id": call_id, "content": self._results[call_id]},
                key=call_id,
                name=call.name,
            )
            for call_id, call in self._open.items()
            if call_id in self._results
        ]

    def prompt_estimate(self, tools: Sequence[dict[str, Any]]) -> int:
        """Tokens of the next prompt: the endpoint's own count so far, and an estimate of what came since."""
        if self._counted:
            return self._counted + sum(message_tokens(self._as_shown(entry)) for entry in self._answers())
        return prompt_tokens(self.messages(), tools)

    def most_prompt_tokens(self, tools: Sequence[dict[str, Any]], endpoint: Endpoint) -> int:
        """Tokens that the next prompt to this endpoint cannot exceed."""
        most = most_prompt_tokens(self.messages(endpoint), tools)
        if not self._counted or self._counted_by != endpoint:
            return most  # another model's tokenizer counts in another way
        since = sum(most_message_tokens(self._as_shown(entry)) for entry in self._answers())
        return min(most, self._counted + since + most_prompt_tokens((), tools))

    # Additions. New steps stay in `uncommitted` until the turn removes them.

    def named(self, message: Message) -> Message:
        """The model's message, its call ids unique in this task."""
        return with_unique_ids(message, seq=self.next_seq, taken=self._taken)

    def add_reply(
        self,
        reply: ModelReply,
        message: Message,
        at: datetime,
        *,
        reservation: str = "",
        endpoint: Endpoint | None = None,
    ) -> None:
        """`message` is the reply's, after `named`; `reservation`: what it was paid from; `endpoint`: whose it is."""
        finish = "tool_calls" if message.get("tool_calls") else reply.finish_reason
        payload = {"message": message, "finish_reason": finish, "model": reply.model}
        if reservation:
            payload["reservation"] = reservation
        if reply.logprobs:
            payload["logprobs"] = reply.logprobs
        if endpoint is not None and _full(message) != _plain(message):
            payload["endpoint"] = endpoint_mark(endpoint)
        usage = reply.usage
        if self.saved_tokens:
            usage = usage.model_copy(update={"saved_tokens": self.saved_tokens})
        self._take(self._step("model", payload, at, usage))
        self._counted_by = endpoint

    def reject(self, reply: ModelReply, message: Message, why: str, at: datetime, *, reservation: str = "") -> None:
        """It was paid for, and does not join the conversation: a dearer model is asked in its place."""
        payload = {"message": message, "finish_reason": reply.finish_reason, "model": reply.model, "rejected": why}
        if reservation:
            payload["reservation"] = reservation
        if reply.logprobs:
            payload["logprobs"] = reply.logprobs
        self._take(self._step("model", payload, at, reply.usage))

    def restore_rejected(self, rejected: Step, at: datetime) -> None:
        """A rejected answer is the best there is. It is paid already."""
        kept = ("message", "finish_reason", "model", "logprobs")
        payload = {name: rejected.payload[name] for name in kept if name in rejected.payload}
        self._take(self._step("model", payload, at))

    def resolve_role(self, role: str, values: str, *, at: datetime) -> None:
        """The system prompt with its placeholders resolved, before anything was asked."""
        self._take(self._step("context", {"role": role, "values": values}, at))

    def show(self, shown: Mapping[str, Shown], *, offered: bool, at: datetime) -> None:
        """Shows the model these texts from here on, in place of the contents with these keys."""
        payload = {"shown": {key: asdict(text) for key, text in shown.items()}, "offered": offered}
        self._take(self._step("context", payload, at))

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
            seq=self.next_seq,
            kind=kind,
            agent_id=self._agent_id,
            payload=payload,
            usage=usage or Usage(),
            at=at,
            request_id=self._origin.request_id,
            traceparent=self._origin.traceparent,
        )
        self.next_seq += 1
        self.uncommitted.append(step)
        return step


def _entries(role: str, messages: Sequence[Message], *, ending: str = "") -> list[Entry]:
    """The request's messages. The results of tools that the caller ran may be shown shorter, as ours may."""
    names: dict[str, str] = {}
    instructions = [message for message in messages if _instructs(message)]
    opening = _joined([role, *(message["content"] for message in instructions), ending])
    entries = [Entry({"role": "system", "content": opening})] if opening else []
    for number, message in enumerate(messages):
        if _instructs(message):
            continue
        names.update({call.call_id: call.name for call in calls_of(message)})
        result = message.get("role") == "tool" and isinstance(message.get("content"), str)
        key = f"request/{number}" if result else ""
        entries.append(Entry(message, key=key, name=names.get(str(message.get("tool_call_id")), "")))
    return entries


def _instructs(message: Message) -> bool:
    """Whether it is one of the messages that become the one system message: many chat templates take no more."""
    if message.get("role") not in ("system", "developer"):
        return False
    content = message.get("content")
    parts = content if isinstance(content, list) else ()
    return isinstance(content, str) or all(part.get("type") == "text" for part in parts)


def _joined(contents: Sequence[str | list[dict[str, Any]]]) -> str | list[dict[str, Any]]:
    """Contents of messages as one: a text, or parts where some part says more than its text (`cache_control`)."""
    parts: list[dict[str, Any]] = []
    for content in contents:
        parts.extend([{"type": "text", "text": content}] if isinstance(content, str) else content)
    parts = [part for part in parts if part["text"]]
    if any(part.keys() - {"type", "text"} for part in parts):
        return parts
    return "\n\n".join(part["text"] for part in parts)

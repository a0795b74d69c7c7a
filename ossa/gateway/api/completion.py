"""Answers in OpenAI's form: a whole completion, the chunks of a streamed one, and the headers of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ossa.contracts.fleet import AgentInfo
from ossa.contracts.task import Delta, Earlier, Outcome, Usage
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
            {
                "index": 0,
                "message": message,
                "logprobs": outcome.logprobs,
                "finish_reason": outcome.finish_reason or "stop",
            }
        ],
        "usage": usage_object(outcome.usage),
    }


def usage_object(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": usage.prompt_audio_tokens},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.audio_tokens,
        },
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

    def delta(self, delta: Delta) -> bytes:
        if isinstance(delta, str):
            return self._before + orjson.dumps(delta) + self._after
        fields = {name: value for name, value in delta.items() if name != "logprobs"}
        return self._chunk(fields, None, delta.get("logprobs"))

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

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None, logprobs: dict[str, Any] | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        return _data({**self._head, "choices": [choice]})


class Form:
    """What an answer looks like: `chat.completion`, or OpenAI's older `text_completion`."""

    def whole(self, task_id: str, model: str, outcome: Outcome, created: int) -> dict[str, Any]:
        return completion(task_id, model, outcome, created)

    def chunks(self, task_id: str, model: str, created: int) -> Chunks:
        return Chunks(task_id, model, created)


CHAT = Form()


class TextForm(Form):
    """`text_completion`: the text alone.

    Args:
        echo: a text that goes before the answer's.
    """

    def __init__(self, echo: str = "") -> None:
        self._echo = echo

    def whole(self, task_id: str, model: str, outcome: Outcome, created: int) -> dict[str, Any]:
        content = (outcome.message or {}).get("content")
        text = self._echo + (content if isinstance(content, str) else "")
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": outcome.finish_reason or "stop"}
        return {
            "id": text_id(task_id),
            "object": "text_completion",
            "created": created,
            "model": outcome.model or model,
            "choices": [choice],
            "usage": usage_object(outcome.usage),
        }

    def chunks(self, task_id: str, model: str, created: int) -> Chunks:
        return TextChunks(task_id, model, created, echo=self._echo)


def text_id(task_id: str) -> str:
    return "cmpl-" + task_id.removeprefix("task_")


class TextChunks(Chunks):
    """The `text_completion` events of one stream."""

    def __init__(self, task_id: str, model: str, created: int, *, echo: str = "") -> None:
        super().__init__(task_id, model, created)
        self._head = {**self._head, "id": text_id(task_id), "object": "text_completion"}
        self._echo = echo

    def first(self) -> bytes:
        return self._text(self._echo, None) if self._echo else b""

    def delta(self, delta: Delta) -> bytes:
        text = delta if isinstance(delta, str) else delta.get("content")
        return self._text(text, None) if text else b""

    def last(self, outcome: Outcome) -> bytes:
        return self._text("", outcome.finish_reason or "stop")

    def _text(self, text: str, finish_reason: str | None) -> bytes:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}
        return _data({**self._head, "choices": [choice]})


DONE = b"data: [DONE]\n\n"


def stream_error(message: str, code: str, task_id: str) -> bytes:
    """An error after the stream began: its status was sent as 200 already."""
    error = {"message": message, "type": "api_error", "param": None, "code": code, "task_id": task_id}
    return _data({"error": error})


def _data(value: dict[str, Any]) -> bytes:
    return encode_event(orjson.dumps(value))

"""Reads the answers of OpenAI-compatible endpoints. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from ossa.contracts.budgets import MOST_CALL_USD
from ossa.contracts.configuration import Endpoint
from ossa.contracts.errors import ModelFailed
from ossa.contracts.model import ModelReply
from ossa.contracts.task import Message, Usage

CHARS_PER_TOKEN = 4
_PER_MESSAGE = 4
_IMAGE_TOKENS = 800


def text_tokens(text: str) -> int:
    return -(-len(text) // CHARS_PER_TOKEN)


def message_tokens(message: Message) -> int:
    """Roughly what a message costs in a prompt; an image counts as 800."""
    total = _PER_MESSAGE + _content_tokens(message.get("content"))
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        total += _PER_MESSAGE + text_tokens(str(function.get("name", "")) + str(function.get("arguments", "")))
    return total


def prompt_tokens(messages: Iterable[Message], tools: Any = None) -> int:
    """Roughly what a call with these messages and tools costs before its answer."""
    total = sum(message_tokens(message) for message in messages)
    return total + (text_tokens(orjson.dumps(tools).decode()) if tools else 0)


def _content_tokens(content: Any) -> int:
    if isinstance(content, str):
        return text_tokens(content)
    if isinstance(content, list):
        return sum(
            text_tokens(part["text"]) if isinstance(part.get("text"), str) else _IMAGE_TOKENS for part in content
        )
    return 0


_MOST_PER_MESSAGE = 16
_MOST_PER_CALL = 64
_MOST_PER_IMAGE = 50_000
"""Tokens of the dearest picture in OpenAI's guide (gpt-4o-mini, eight tiles: 48,169)."""


def most_prompt_tokens(messages: Iterable[Message], tools: Any = None) -> int:
    """Tokens that a call with these messages and tools cannot exceed; chat templates add a few to each message."""
    total = _MOST_PER_CALL + sum(most_message_tokens(message) for message in messages)
    return total + (len(orjson.dumps(tools)) + _MOST_PER_MESSAGE * len(tools) if tools else 0)


def most_message_tokens(message: Message) -> int:
    content = message.get("content")
    rest = {key: value for key, value in message.items() if key != "content"}
    total = _MOST_PER_MESSAGE + len(orjson.dumps(rest))
    if isinstance(content, str):
        return total + len(content.encode("utf-8", "surrogatepass"))
    parts = content if isinstance(content, list) else ()
    return total + sum(
        _MOST_PER_IMAGE if part.get("type") == "image_url" else len(orjson.dumps(part)) for part in parts
    )


MOST_TOKENS = 1_000_000_000
"""A higher count for one call is a mistake of the endpoint, and is cut to this."""


def read_completion(body: bytes, endpoint: Endpoint, messages: Sequence[Message]) -> ModelReply:
    """A whole `chat.completion`. Raises `ModelFailed` when it is none."""
    document = read_object(body)
    try:
        choice = document["choices"][0]
        message: Message = choice["message"]
        message.setdefault("content", None)
        message["role"] = "assistant"
        finish = choice.get("finish_reason") or ("tool_calls" if message.get("tool_calls") else "stop")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ModelFailed("the model endpoint answered without a choice that holds a message") from error
    return ModelReply(
        message=message,
        finish_reason=str(finish),
        model=str(document.get("model") or endpoint.model),
        usage=read_usage(document.get("usage"), endpoint, messages, message),
    )


def read_object(body: bytes) -> dict[str, Any]:
    """A JSON object that is no error. Raises `ModelFailed`."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ModelFailed("the model endpoint answered something that is not JSON") from error
    if not isinstance(document, dict):
        raise ModelFailed("the model endpoint answered JSON that is not an object")
    if document.get("error") and not document.get("choices"):
        raise ModelFailed(f"the model endpoint answered with an error: {error_text(document)}")
    return document


def error_text(document: Any) -> str:
    """The sentence in an error body of OpenAI's form or a relative of it; at most 500 characters."""
    found = document
    for key in ("error", "message"):
        if isinstance(found, dict):
            found = found.get(key) or found.get("detail") or found
    return (found if isinstance(found, str) else orjson.dumps(found).decode())[:500]


def read_usage(found: Any, endpoint: Endpoint, messages: Sequence[Message], message: Message) -> Usage:
    """The endpoint's own count, priced; estimated from the texts where it sent none."""
    prompt = completion = cached = written = 0
    if isinstance(found, dict):
        prompt, completion = _count(found.get("prompt_tokens")), _count(found.get("completion_tokens"))
        details = found.get("prompt_tokens_details")
        cached = min(prompt, _count(details.get("cached_tokens")) if isinstance(details, dict) else 0)
        written = min(prompt - cached, _count(found.get("cache_creation_input_tokens")))
    if not prompt and not completion:
        prompt, completion = prompt_tokens(messages), message_tokens(message)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        cost_usd=price(endpoint, prompt, completion, cached=cached, written=written),
        model_calls=1,
    )


def price(endpoint: Endpoint, prompt: int, completion: int, *, cached: int = 0, written: int = 0) -> float:
    """USD, at most `MOST_CALL_USD`; an unknown price counts as 0.

    Args:
        cached: of the prompt's tokens, those the provider read from its cache.
        written: those it wrote to its cache, where it says so. Both at the full price where theirs is not known.
    """
    cache = endpoint.prompt_cache
    billed = float(prompt)
    if cache is not None:
        billed += cached * (cache.read - 1) + written * (cache.write - 1)
    million = billed * (endpoint.input_usd_per_mtok or 0.0) + completion * (endpoint.output_usd_per_mtok or 0.0)
    usd = million / 1_000_000
    return min(usd, MOST_CALL_USD) if usd > 0 else 0.0


def _count(value: Any) -> int:
    return min(value, MOST_TOKENS) if isinstance(value, int) and value > 0 else 0


class StreamedAnswer:
    """Puts a stream of `chat.completion.chunk` together again."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._size = 0
        self._text: list[str] = []
        self._other: dict[str, list[str]] = {}
        self._calls: dict[int, dict[str, Any]] = {}
        self._usage: Any = None
        self._model: str | None = None
        self.finish_reason: str | None = None

    def add(self, data: bytes) -> str:
        """Take one chunk; returns the text it adds to the answer. Raises `ModelFailed`."""
        self._size += len(data)
        if self._size > self._max_bytes:
            raise ModelFailed(f"the model's streamed answer is larger than {self._max_bytes} bytes")
        chunk = read_object(data)
        if chunk.get("usage"):
            self._usage = chunk["usage"]
        if self._model is None:
            self._model = chunk.get("model")
        choices = chunk.get("choices")
        if not choices:
            return ""
        choice = choices[0]
        if choice.get("finish_reason"):
            self.finish_reason = str(choice["finish_reason"])
        delta = choice.get("delta") or {}
        self._add_calls(delta.get("tool_calls") or ())
        for name in ("refusal", "reasoning_content"):
            if isinstance(delta.get(name), str):
                self._other.setdefault(name, []).append(delta[name])
        text = delta.get("content")
        if not isinstance(text, str) or not text:
            return ""
        self._text.append(text)
        return text

    def _add_calls(self, deltas: Sequence[dict[str, Any]]) -> None:
        for position, delta in enumerate(deltas):
            index = delta.get("index")
            index = position if not isinstance(index, int) else index
            call = self._calls.setdefault(index, {"id": "", "type": "function", "name": [], "arguments": []})
            call["id"] = delta.get("id") or call["id"]
            function = delta.get("function") or {}
            for part in ("name", "arguments"):
                if function.get(part):
                    call[part].append(function[part])

    def reply(self, endpoint: Endpoint, messages: Sequence[Message]) -> ModelReply:
        """The whole answer, once the stream has ended. Raises `ModelFailed` when it ended too early."""
        if self.finish_reason is None:
            raise ModelFailed("the model's stream ended before the answer did")
        message: Message = {"role": "assistant", "content": "".join(self._text) if self._text else None}
        for name, parts in self._other.items():
            message[name] = "".join(parts)
        if self._calls:
            message["tool_calls"] = [
                {
                    "id": call["id"],
                    "type": "function",
                    "function": {"name": "".join(call["name"]), "arguments": "".join(call["arguments"])},
                }
                for _, call in sorted(self._calls.items())
            ]
        elif message["content"] is None:
            message["content"] = ""
        return ModelReply(
            message=message,
            finish_reason=self.finish_reason,
            model=self._model or endpoint.model,
            usage=read_usage(self._usage, endpoint, messages, message),
        )

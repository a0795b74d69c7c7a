"""Reads the answers of OpenAI-compatible endpoints, whole or streamed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ossa.contracts.configuration import Endpoint
from ossa.contracts.errors import ModelFailed
from ossa.contracts.model import ModelReply
from ossa.contracts.task import Delta, Message
from ossa.models.failures import Said, error_in, error_of
from ossa.models.json_reader import TextPieces, mended, read_json
from ossa.models.message import ToolCallPieces, finish_reason, first_choice, normal_message, texts_of
from ossa.models.usage import read_usage

SAID_INSIDE = "the model endpoint answered with an error"

_OF_DELTA = frozenset({"role", "content", "tool_calls", "function_call"})


class AnswerError(Exception):
    """An answer with status 200 that holds an error. `again`: another try may succeed."""

    def __init__(self, said: Said) -> None:
        super().__init__(said.message)
        self.error, self.again = error_of(said, None, where=SAID_INSIDE)


def read_completion(body: bytes, endpoint: Endpoint, messages: Sequence[Message]) -> ModelReply:
    """A whole `chat.completion`. Raises `ModelFailed` when it is none, `AnswerError` when it says that it failed."""
    document = read_object(body)
    choice = first_choice(document.get("choices"))
    if choice is None:
        raise ModelFailed("the model endpoint answered without a choice that holds a message")
    raw = choice.get("message", choice.get("delta"))
    if raw is None and isinstance(choice.get("text"), str):
        raw = {"content": choice["text"]}
    message = normal_message(raw)
    calls = bool(message.get("tool_calls"))
    finish = finish_reason(choice.get("finish_reason"), calls=calls)
    if finish == "error":
        raise AnswerError(Said("the answer ended with an error"))
    return ModelReply(
        message=message,
        finish_reason=finish or ("tool_calls" if calls else "stop"),
        model=_name(document.get("model")) or endpoint.model,
        usage=read_usage(document.get("usage"), endpoint, messages, message),
        logprobs=mended(choice.get("logprobs")) if isinstance(choice.get("logprobs"), dict) else None,
    )


def read_object(body: bytes) -> dict[str, Any]:
    """A JSON object that is no error. Raises `ModelFailed`, `AnswerError`."""
    try:
        document = read_json(body)
    except ValueError as error:
        raise ModelFailed("the model endpoint answered something that is not JSON") from error
    if not isinstance(document, dict):
        raise ModelFailed("the model endpoint answered JSON that is not an object")
    if said := error_in(document):
        raise AnswerError(said)
    return document


class StreamedAnswer:
    """Puts a stream of `chat.completion.chunk` together again."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._size = 0
        self._text = TextPieces()
        self._thoughts = TextPieces()
        self._other: dict[str, Any] = {}
        self._calls = ToolCallPieces()
        self._usage: Any = None
        self._model = ""
        self._logprobs: dict[str, list[Any]] = {}
        self._finish: Any = None
        self.done = False
        """Whether the endpoint said `[DONE]`: an answer without a finish reason is whole then."""

    def add(self, data: bytes) -> Delta:
        """Take one event's data; returns what it adds to the answer but tool calls, which are told once they are whole.

        Raises `ModelFailed`, `AnswerError`.
        """
        self._size += len(data)
        if self._size > self._max_bytes:
            raise ModelFailed(f"the model's streamed answer is larger than {self._max_bytes} bytes")
        if not data.strip():
            return ""
        try:
            chunk = read_json(data)
        except ValueError as error:
            raise ModelFailed("the model endpoint answered something that is not JSON") from error
        if not isinstance(chunk, dict):
            return ""  # a heartbeat
        if said := error_in(chunk):
            raise AnswerError(said)
        if chunk.get("usage"):
            self._usage = chunk["usage"]
        self._model = self._model or _name(chunk.get("model"))
        choice = first_choice(chunk.get("choices"))
        return "" if choice is None else self._add_choice(choice)

    def _add_choice(self, choice: dict[str, Any]) -> Delta:
        if choice.get("finish_reason"):
            self._finish = choice["finish_reason"]
            if finish_reason(self._finish, calls=False) == "error":
                raise AnswerError(Said("the answer ended with an error"))
        fresh: dict[str, Any] = {}
        if logprobs := self._add_logprobs(choice.get("logprobs")):
            fresh["logprobs"] = logprobs
        delta = choice.get("delta")
        if delta is None:
            delta = choice.get("message")
        if not isinstance(delta, dict):
            delta = {"content": choice["text"]} if isinstance(choice.get("text"), str) else {}
        self._calls.add(delta.get("tool_calls"))
        self._calls.add_function(delta.get("function_call"))
        for name, value in delta.items():
            if name not in _OF_DELTA and (said := self._add_other(name, value)):
                fresh[name] = said
        text, thoughts = texts_of(delta.get("content"))
        if (thought := self._thoughts.add(thoughts)) and "reasoning_content" not in self._other:
            fresh["reasoning_content"] = thought
        shown = self._text.add(text) if text else ""
        if not fresh:
            return shown
        return {**fresh, "content": shown} if shown else fresh

    def _add_other(self, name: str, value: Any) -> Any:
        """Texts and lists come in pieces; of anything else the last one counts. Returns what can be shown now."""
        known = self._other.get(name)
        if isinstance(value, str):
            if not isinstance(known, TextPieces):
                known = self._other[name] = TextPieces()
            return known.add(value)
        value = mended(value)
        if isinstance(value, list):
            self._other[name] = _joined(known if isinstance(known, list) else [], value)
        elif value is not None:
            self._other[name] = value
        return value

    def _add_logprobs(self, logprobs: Any) -> dict[str, Any]:
        if not isinstance(logprobs, dict):
            return {}
        fresh = {name: mended(value) for name, value in logprobs.items() if value and isinstance(value, list)}
        for name, value in fresh.items():
            self._logprobs.setdefault(name, []).extend(value)
        return fresh

    def reply(self, endpoint: Endpoint, messages: Sequence[Message]) -> ModelReply:
        """The whole answer, once the stream has ended. Raises `ModelFailed` when it ended too early."""
        calls = self._calls.whole()
        finish = finish_reason(self._finish, calls=bool(calls))
        message: Message = {"role": "assistant", "content": self._text.whole() if self._text else None}
        for name, value in self._other.items():
            message[name] = value.whole() if isinstance(value, TextPieces) else value
        if self._thoughts and not message.get("reasoning_content"):
            message["reasoning_content"] = self._thoughts.whole()
        if calls:
            message["tool_calls"] = mended(calls)
        elif message["content"] is None and not message.get("refusal"):
            message["content"] = ""
        if finish is None and not (self.done and (calls or self._text or self._other)):
            raise ModelFailed("the model's stream ended before the answer did")
        return ModelReply(
            message=message,
            finish_reason=finish or ("tool_calls" if calls else "stop"),
            model=self._model or endpoint.model,
            usage=read_usage(self._usage, endpoint, messages, message),
            logprobs=self._logprobs or None,
        )


def _joined(known: list[Any], more: list[Any]) -> list[Any]:
    """A list and what came to it; pieces of one item (the same `index` and `type`, as in OpenRouter's
    `reasoning_details`) become one again."""
    joined = list(known)
    for item in more:
        last = joined[-1] if joined else None
        if not (isinstance(item, dict) and isinstance(last, dict) and isinstance(item.get("index"), int)) or (
            (item["index"], item.get("type")) != (last.get("index"), last.get("type"))
        ):
            joined.append(item)
            continue
        whole = dict(last)
        for name, value in item.items():
            if name in _PIECES and isinstance(value, str) and isinstance(whole.get(name), str):
                whole[name] += value
            elif value is not None:
                whole[name] = value
        joined[-1] = whole
    return joined


_PIECES = frozenset({"text", "summary", "data", "thinking"})


def _name(value: Any) -> str:
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""

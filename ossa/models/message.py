"""Brings what a model answered into OpenAI's form, whole or put together from pieces. Pure.

Endpoints differ in how they send tool calls, contents and reasons to finish. All that follows sees one form:
`content` is a text or null, `tool_calls` have an id (perhaps empty), a name and arguments that are a text, and the
finish reason is one of OpenAI's. Further fields of a message stay as they came. What cannot be brought into that form
raises `ModelFailed`: nothing is made up, and no call is run that nobody made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from ossa.contracts.errors import ModelFailed
from ossa.contracts.task import Message
from ossa.models.json_reader import TextPieces, mended, read_json

_FINISH_REASONS = {
    "stop": (
        "stop", "stop_sequence", "stop_token", "eos", "eos_token", "end", "end_turn", "ended", "complete", "completed",
        "completion", "done", "finish", "finished", "normal", "pause_turn", "success",
    ),
    "length": (
        "length", "max_tokens", "max_output_tokens", "max_completion_tokens", "max_length", "model_length",
        "token_limit", "model_context_window_exceeded", "incomplete",
    ),
    "tool_calls": ("tool_calls", "tool_call", "tool_use", "tool", "tools", "function_call", "function_calls"),
    "content_filter": (
        "content_filter", "content_filtered", "content-filter", "safety", "recitation", "blocklist", "language",
        "prohibited_content", "spii", "image_safety", "guardrail_intervened", "sensitive", "refusal",
    ),
    "error": ("error", "failed", "failure", "internal_error", "server_error", "network_error", "abort_error"),
}  # fmt: skip
_FINISH = {name: reason for reason, names in _FINISH_REASONS.items() for name in names}

_TEXTS = ("text", "output_text", "input_text")
_THOUGHTS = ("thinking", "reasoning", "thought", "reasoning_text")


def finish_reason(value: Any, *, calls: bool) -> str | None:
    """OpenAI's reason; `error` for one that is no success. None: the endpoint named none.

    Args:
        calls: whether the message has tool calls: a `stop` beside them means that they are to be run.
    """
    if isinstance(value, dict):
        value = value.get("type") or value.get("reason")
    if not isinstance(value, str) or not value.strip():
        return None
    reason = _FINISH.get(value.strip().lower(), "stop")
    if reason == "stop" and calls:
        return "tool_calls"
    if reason == "tool_calls" and not calls:
        return "stop"
    return reason


def normal_message(raw: Any) -> Message:
    """A whole message in OpenAI's form. Raises `ModelFailed`."""
    if not isinstance(raw, dict):
        raise ModelFailed("the model endpoint answered with a message that is not an object")
    message = {key: value for key, value in raw.items() if key not in ("tool_calls", "function_call", "content")}
    message["role"] = "assistant"
    text, thoughts = texts_of(raw.get("content"))
    message["content"] = text
    if thoughts and not message.get("reasoning_content"):
        message["reasoning_content"] = thoughts
    calls = ToolCallPieces()
    calls.add(raw.get("tool_calls"))
    calls.add_function(raw.get("function_call"))
    if whole := calls.whole():
        message["tool_calls"] = whole
    elif message["content"] is None and not message.get("refusal"):
        message["content"] = ""
    return dict(mended(message))


def texts_of(content: Any) -> tuple[str | None, str]:
    """A message's content as text, and the thoughts among its parts. Raises `ModelFailed`."""
    if content is None or isinstance(content, str):
        return content, ""
    if isinstance(content, bool):
        raise ModelFailed("the model endpoint answered with a content that is no text")
    if isinstance(content, int | float):
        return str(content), ""
    parts = content if isinstance(content, list) else [content]
    texts: list[str] = []
    thoughts: list[str] = []
    for part in parts:
        _read_part(part, texts, thoughts)
    return ("".join(texts) if texts else None), "".join(thoughts)


def _read_part(part: Any, texts: list[str], thoughts: list[str]) -> None:
    if isinstance(part, str):
        texts.append(part)
    elif isinstance(part, dict):
        kind = part.get("type")
        if kind in _THOUGHTS:
            for name in ("thinking", "text", "reasoning", "content"):
                inner = part.get(name)
                if inner:
                    text, more = texts_of(inner)
                    thoughts.append((text or "") + more)
                    break
        elif (kind is None or kind in _TEXTS) and isinstance(part.get("text"), str):
            texts.append(part["text"])
    elif part is not None:
        raise ModelFailed("the model endpoint answered with a part of a content that is no object")


class ToolCallPieces:
    """Tool calls as they come: whole, or in pieces that name their call by id, by index, or not at all."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_id: dict[str, _Call] = {}
        self._by_index: dict[int, _Call] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, deltas: Any) -> None:
        """Take the `tool_calls` of a message or a delta. Raises `ModelFailed`."""
        if deltas is None or deltas == "" or isinstance(deltas, bool):
            return
        if isinstance(deltas, str):
            try:
                deltas = read_json(deltas.encode("utf-8", "surrogatepass"))
            except ValueError:
                return  # a word such as "none"
        if isinstance(deltas, dict):
            deltas = [deltas]
        if not isinstance(deltas, list):
            raise ModelFailed("the model endpoint answered with tool_calls that are no list")
        for delta in deltas:
            if isinstance(delta, dict):
                self._add(delta, alone=len(deltas) == 1)
            elif delta is not None:
                raise ModelFailed("the model endpoint answered with a tool call that is no object")

    def add_function(self, function: Any) -> None:
        """Take the `function_call` of OpenAI's first form."""
        if isinstance(function, dict) and function:
            self._add({"index": -1, "function": function}, alone=True)

    def whole(self) -> list[dict[str, Any]]:
        """All calls, in the order in which they began. Raises `ModelFailed` for one without a name."""
        calls = []
        for call in self._calls:
            arguments = call.arguments.strip()
            if not call.name:
                if arguments:
                    raise ModelFailed("the model endpoint answered with a tool call that names no tool")
                continue
            function = {"name": call.name, "arguments": "{}" if arguments in ("", "null") else call.arguments}
            calls.append({**call.more, "id": call.id, "type": "function", "function": function})
        return calls

    def _add(self, delta: dict[str, Any], *, alone: bool) -> None:
        function = delta.get("function")
        if function is None:
            function = delta if "name" in delta else {}
        if not isinstance(function, dict):
            raise ModelFailed("the model endpoint answered with a tool call whose function is no object")
        name = function.get("name")
        if name is not None and not isinstance(name, str):
            raise ModelFailed("the model endpoint answered with a tool call whose name is no text")
        arguments = function.get("arguments", function.get("parameters", delta.get("input")))
        piece = _Piece(_id_of(delta.get("id")), _index_of(delta.get("index")), name or "", _text_of(arguments))
        call = self._call_of(piece, alone=alone)
        call.more.update({key: value for key, value in delta.items() if key not in _OWN_FIELDS and value is not None})
        call.take(piece)

    def _call_of(self, piece: _Piece, *, alone: bool) -> _Call:
        known = self._by_id.get(piece.id) if piece.id else None
        if known is None:
            if piece.index is not None:
                known = self._by_index.get(piece.index)
            elif self._calls and alone:
                known = self._calls[-1]
            if known is not None and known.ended_by(piece):
                known = None
        if known is None:
            known = _Call()
            self._calls.append(known)
        if piece.id and not known.id:
            known.id = piece.id
            self._by_id[piece.id] = known
        if piece.index is not None:
            self._by_index[piece.index] = known
        return known


_OWN_FIELDS = frozenset({"id", "index", "type", "function", "name", "arguments", "input", "parameters"})


class _Piece:
    __slots__ = ("arguments", "id", "index", "name")

    def __init__(self, id: str, index: int | None, name: str, arguments: str) -> None:
        self.id, self.index, self.name, self.arguments = id, index, name, arguments


class _Call:
    __slots__ = ("_arguments", "id", "more", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.more: dict[str, Any] = {}
        self._arguments = TextPieces()

    @property
    def arguments(self) -> str:
        return self._arguments.whole()

    def ended_by(self, piece: _Piece) -> bool:
        """Whether a piece with this call's index, or with none, begins another call."""
        if piece.id and self.id:
            # Another id is another call; but for endpoints that invent one for each piece.
            return bool(piece.name) or self._is_complete()
        if not piece.name or not self.name:
            return False
        if piece.index is not None and not self._arguments:
            return False  # the name's next piece, or the name once more
        return self._is_complete() or (piece.name != self.name and piece.index is None)

    def take(self, piece: _Piece) -> None:
        if piece.name and piece.name != self.name and not self._arguments:
            self.name += piece.name
        if piece.arguments.startswith("{") and self._arguments and piece.arguments == self.arguments:
            return  # all of it once more, at the end
        self._arguments.add(piece.arguments)

    def _is_complete(self) -> bool:
        try:
            orjson.loads(mended(self.arguments))
        except orjson.JSONDecodeError:
            return False
        return True


def _id_of(value: Any) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _index_of(value: Any) -> int | None:
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        return int(value)
    return int(value) if isinstance(value, int | float) else None


def _text_of(arguments: Any) -> str:
    """Arguments as JSON text; some endpoints send them as what the text would say."""
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else orjson.dumps(mended(arguments)).decode()


def first_choice(choices: Any) -> dict[str, Any] | None:
    """The first choice of an answer or a chunk; None where there is none. Raises `ModelFailed`."""
    if choices is None or choices == []:
        return None
    if not isinstance(choices, Sequence) or isinstance(choices, str):
        raise ModelFailed("the model endpoint answered with choices that are no list")
    return next((choice for choice in choices if isinstance(choice, dict)), None)

"""Chat completions: the request, the whole answer and the streamed one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from ossa.sdk.call import Call, Request
from ossa.sdk.errors import UnexpectedAnswer, error_of_body
from ossa.sdk.server_sent import ServerEvent
from ossa.sdk.values.answer import Answer
from ossa.sdk.values.usage import Usage

PATH = "/v1/chat/completions"
Prompt = str | Sequence[Mapping[str, Any]]


def messages_of(prompt: Prompt) -> list[dict[str, Any]]:
    """A text is one user message; a list of messages stays as it is."""
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(message) for message in prompt]


def chat_request(
    prompt: Prompt, *, model: str, stream: bool, idempotency_key: str | None, parameters: Mapping[str, Any]
) -> Request:
    """With an idempotency key it may be sent again and gives the same task, which goes on when the caller leaves.

    Without one it is not accepted before there is an agent for it, and leaving cancels it.
    """
    body: dict[str, Any] = {**parameters, "model": model, "messages": messages_of(prompt)}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
    return Request("POST", PATH, json=body, headers=headers, repeatable=bool(idempotency_key))


def chat(prompt: Prompt, *, model: str, idempotency_key: str | None, parameters: Mapping[str, Any]) -> Call[Answer]:
    return Call(
        chat_request(prompt, model=model, stream=False, idempotency_key=idempotency_key, parameters=parameters),
        _whole_answer,
    )


class ChatAssembly:
    """Puts a streamed answer together, event by event."""

    def __init__(self, headers: httpx.Headers) -> None:
        self._headers = headers
        self._pieces: list[str] = []
        self._usage: dict[str, Any] = {}
        self._model = ""
        self._finish_reason = ""
        self._tool_calls: dict[int, dict[str, Any]] = {}
        self._done = False

    def take(self, event: ServerEvent) -> str:
        """The event's piece of text, often empty. Raises the error an error event stands for."""
        if event.data == "[DONE]":
            self._done = True
            return ""
        chunk = _object(event.data)
        if isinstance(chunk.get("error"), dict):
            raise error_of_body(chunk["error"])
        self._model = str(chunk.get("model") or self._model)
        self._usage = chunk.get("usage") or self._usage
        piece = ""
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            piece += delta.get("content") or ""
            for call in delta.get("tool_calls") or ():
                self._take_tool_call(call)
            self._finish_reason = choice.get("finish_reason") or self._finish_reason
        self._pieces.append(piece)
        return piece

    def _take_tool_call(self, part: dict[str, Any]) -> None:
        """A call's first part names it; later ones add to its arguments."""
        part = dict(part)
        index = part.pop("index", len(self._tool_calls))
        call = self._tool_calls.setdefault(index, {**part, "function": {"name": "", "arguments": ""}})
        for field, text in (part.get("function") or {}).items():
            call["function"][field] = call["function"].get(field, "") + (text or "")

    def answer(self) -> Answer:
        """The whole answer. Raises `UnexpectedAnswer` when the stream broke off before its end."""
        if not self._done and not self._finish_reason:
            raise UnexpectedAnswer("The stream ended before the answer did; its task goes on in the fleet.")
        text = "".join(self._pieces)
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if self._tool_calls:
            message["tool_calls"] = [self._tool_calls[index] for index in sorted(self._tool_calls)]
        return _answer(text, message, self._finish_reason, self._model, self._usage, self._headers)


def _object(data: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError as error:
        raise UnexpectedAnswer(f"An event of the stream is not JSON: {data[:120]}") from error
    if not isinstance(value, dict):
        raise UnexpectedAnswer(f"An event of the stream is no object: {data[:120]}")
    return value


def _whole_answer(response: httpx.Response) -> Answer:
    body = response.json()
    choice = body["choices"][0]
    message = choice["message"]
    content = message.get("content")
    return _answer(
        content if isinstance(content, str) else "",
        message,
        choice.get("finish_reason") or "",
        body.get("model") or "",
        body.get("usage") or {},
        response.headers,
    )


def _answer(
    text: str,
    message: dict[str, Any],
    finish_reason: str,
    model: str,
    usage: Mapping[str, Any],
    headers: httpx.Headers,
) -> Answer:
    cost = headers.get("x-ossa-cost-usd") or usage.get("cost_usd") or 0.0
    return Answer(
        text=text,
        message=message,
        finish_reason=finish_reason,
        model=headers.get("x-ossa-model") or model,
        agent=headers.get("x-ossa-agent", ""),
        pool=headers.get("x-ossa-pool", ""),
        task_id=headers.get("x-ossa-task-id", ""),
        request_id=headers.get("x-request-id", ""),
        usage=Usage.model_validate({**usage, "cost_usd": float(cost)}),
    )

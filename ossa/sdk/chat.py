"""Chat completions: the request, the whole answer and the streamed one."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Generic

import httpx

from ossa.contracts.task import Usage
from ossa.resilience.server_sent import ServerEvent
from ossa.sdk.blocking import IO, AsyncIO, BlockingIO, iterate, run
from ossa.sdk.errors import UnexpectedAnswer, error_of_body
from ossa.sdk.exchange import Exchange, Request
from ossa.sdk.received import Received, read

Prompt = str | Sequence[Mapping[str, Any]]


class Answer(Received):
    """What came back, who gave it and what it cost. `str(answer)` is the text."""

    text: str
    message: dict[str, Any] = {}
    logprobs: dict[str, Any] | None = None
    finish_reason: str = ""
    model: str = ""
    agent: str = ""
    pool: str = ""
    task_id: str = ""
    request_id: str = ""
    usage: Usage = Usage()

    @property
    def cost_usd(self) -> float:
        return self.usage.cost_usd

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.text


def messages_of(prompt: Prompt) -> list[dict[str, Any]]:
    """Returns OpenAI messages: a text becomes one user message, a list of messages stays as it is."""
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(message) for message in prompt]


def chat_request(
    prompt: Prompt, *, model: str, stream: bool, idempotency_key: str | None, parameters: Mapping[str, Any]
) -> Request:
    """Returns the request of a chat.

    With an idempotency key it may be sent again and gives the same task, which goes on when the caller leaves. Without
    one it is not accepted before there is an agent for it, and leaving cancels it.
    """
    body: dict[str, Any] = {**parameters, "model": model, "messages": messages_of(prompt)}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
    return Request("POST", "/v1/chat/completions", json=body, headers=headers, repeatable=bool(idempotency_key))


def whole_answer(response: httpx.Response) -> Answer:
    """Reads the answer to a chat that was not streamed."""
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
        choice.get("logprobs"),
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
        self._others: dict[str, Any] = {}
        self._logprobs: dict[str, list[Any]] = {}
        self._done = False

    def take(self, event: ServerEvent) -> str:
        """Returns the event's piece of text, often empty. Raises the error that an error event stands for."""
        if event.data == b"[DONE]":
            self._done = True
            return ""
        chunk = _object(event.text)
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
            for name, value in delta.items():
                if name not in ("role", "content", "tool_calls"):
                    self._take_other(name, value)
            for name, items in (choice.get("logprobs") or {}).items():
                self._logprobs.setdefault(name, []).extend(items or ())
            self._finish_reason = choice.get("finish_reason") or self._finish_reason
        self._pieces.append(piece)
        return piece

    def _take_other(self, name: str, value: Any) -> None:
        """Adds a piece of what else the model says: texts and lists grow, of anything else the last one counts."""
        known = self._others.get(name)
        grows = isinstance(value, str | list) and type(known) is type(value)
        if value is not None:
            self._others[name] = known + value if grows else value

    def _take_tool_call(self, part: dict[str, Any]) -> None:
        """Adds a part of a tool call: the first one names it, later ones add to its arguments."""
        part = dict(part)
        index = part.pop("index", len(self._tool_calls))
        call = self._tool_calls.setdefault(index, {**part, "function": {"name": "", "arguments": ""}})
        for field, text in (part.get("function") or {}).items():
            call["function"][field] = call["function"].get(field, "") + (text or "")

    def answer(self) -> Answer:
        """Returns the whole answer. Raises `UnexpectedAnswer` when the stream broke off before its end."""
        if not self._done and not self._finish_reason:
            raise UnexpectedAnswer("The stream ended before the answer did; its task goes on in the fleet.")
        text = "".join(self._pieces)
        message: dict[str, Any] = {"role": "assistant", "content": text, **self._others}
        if self._tool_calls:
            message["tool_calls"] = [self._tool_calls[index] for index in sorted(self._tool_calls)]
        logprobs = self._logprobs if any(self._logprobs.values()) else None
        return _answer(text, message, self._finish_reason, self._model, self._usage, self._headers, logprobs)


class _Stream(Generic[IO]):
    """A streamed answer as it is read, whichever client reads it."""

    def __init__(self, exchange: Exchange[IO], response: httpx.Response) -> None:
        self._io = exchange.io
        self._response = response
        self._assembly = ChatAssembly(response.headers)
        self._events = exchange.events(response)

    async def _read(self) -> AsyncGenerator[str, None]:
        async for event in self._events:
            if piece := self._assembly.take(event):
                yield piece

    async def _close(self) -> None:
        await self._io.close_response(self._response)


class AsyncChatStream(_Stream[AsyncIO]):
    """Iterates over the pieces of an answer as they come; `answer()` is the whole. Closing early cancels the task."""

    def __aiter__(self) -> AsyncIterator[str]:
        return self._read()

    async def answer(self) -> Answer:
        """Reads what is left of the stream, and returns the whole answer."""
        async for _ in self:
            pass
        return self._assembly.answer()

    async def close(self) -> None:
        await self._close()

    async def __aenter__(self) -> AsyncChatStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class ChatStream(_Stream[BlockingIO]):
    """Iterates over the pieces of an answer as they come; `answer()` is the whole. Closing early cancels the task."""

    def __iter__(self) -> Iterator[str]:
        return iterate(self._read())

    def answer(self) -> Answer:
        """Reads what is left of the stream, and returns the whole answer."""
        for _ in self:
            pass
        return self._assembly.answer()

    def close(self) -> None:
        run(self._close)

    def __enter__(self) -> ChatStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _object(data: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError as error:
        raise UnexpectedAnswer(f"An event of the stream is not JSON: {data[:120]}") from error
    if not isinstance(value, dict):
        raise UnexpectedAnswer(f"An event of the stream is not an object: {data[:120]}")
    return value


def _answer(
    text: str,
    message: dict[str, Any],
    finish_reason: str,
    model: str,
    usage: Mapping[str, Any],
    headers: httpx.Headers,
    logprobs: dict[str, Any] | None,
) -> Answer:
    asked, said = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    details = {
        "cached_tokens": asked.get("cached_tokens") or 0,
        "prompt_audio_tokens": asked.get("audio_tokens") or 0,
        "reasoning_tokens": said.get("reasoning_tokens") or 0,
        "audio_tokens": said.get("audio_tokens") or 0,
    }
    cost = headers.get("x-ossa-cost-usd") or usage.get("cost_usd") or 0.0
    return Answer(
        text=text,
        message=message,
        logprobs=logprobs,
        finish_reason=finish_reason,
        model=headers.get("x-ossa-model") or model,
        agent=headers.get("x-ossa-agent", ""),
        pool=headers.get("x-ossa-pool", ""),
        task_id=headers.get("x-ossa-task-id", ""),
        request_id=headers.get("x-request-id", ""),
        usage=read(Usage, {**usage, **details, "cost_usd": float(cost)}),
    )

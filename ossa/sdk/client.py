"""The blocking client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import httpx

from ossa.sdk.blocking import BlockingIO, run
from ossa.sdk.chat import Answer, ChatStream, Prompt, chat_request, whole_answer
from ossa.sdk.connection import Connection
from ossa.sdk.exchange import Exchange, http_options
from ossa.sdk.fleet_calls import FleetCalls, openai_module

if TYPE_CHECKING:
    import openai


class Client(FleetCalls[BlockingIO]):
    """A fleet, from one program. Safe to share between threads; close it, or use it in a `with`.

    Every method raises the errors of `ossa`: `Unreachable` when no answer comes, and what the fleet answers
    (`Unauthenticated`, `NotFound`, `FleetBusy`, ...). What may safely be sent again is, up to `max_retries` times:
    tasks always carry an idempotency key, chats a given one, so that a repeated one is not done twice.
    """

    blocking = True

    def __init__(
        self,
        connection: Connection,
        *,
        timeout_s: float = 330.0,
        max_retries: int = 2,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        io = BlockingIO(httpx.Client(**http_options(connection, timeout_s), transport=transport))
        super().__init__(Exchange(connection, io, max_retries=max_retries))

    @overload
    def chat(
        self,
        prompt: Prompt,
        *,
        model: str = ...,
        stream: Literal[False] = ...,
        idempotency_key: str | None = ...,
        **parameters: Any,
    ) -> Answer: ...

    @overload
    def chat(
        self,
        prompt: Prompt,
        *,
        model: str = ...,
        stream: Literal[True],
        idempotency_key: str | None = ...,
        **parameters: Any,
    ) -> ChatStream: ...

    def chat(
        self,
        prompt: Prompt,
        *,
        model: str = "auto",
        stream: bool = False,
        idempotency_key: str | None = None,
        **parameters: Any,
    ) -> Answer | ChatStream:
        """Asks, and returns the answer; with `stream`, an iterator of its pieces.

        `prompt` is a text or a list of chat messages, `model` is `auto`, `pool/NAME` or `agent/NAME`;
        `parameters` (temperature, max_tokens, ...) go into the OpenAI body as they are. Leaving early cancels the task,
        unless it has an `idempotency_key`: then it goes on, and asking again under that key gives its answer.
        """
        request = chat_request(
            prompt, model=model, stream=stream, idempotency_key=idempotency_key, parameters=parameters
        )
        if stream:
            return ChatStream(self._exchange, run(self._exchange.start, request))
        return run(self._exchange.send_and_parse, request, whole_answer)

    def openai(self) -> openai.OpenAI:
        """Returns the official client, set up for this fleet. Needs the `openai` package."""
        client: openai.OpenAI = openai_module().OpenAI(**self._openai_options())
        return client

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

"""The asyncio client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import httpx

from ossa.sdk.blocking import AsyncIO
from ossa.sdk.chat import Answer, AsyncChatStream, Prompt, chat_request, whole_answer
from ossa.sdk.connection import Connection
from ossa.sdk.exchange import Exchange, http_options
from ossa.sdk.fleet_calls import FleetCalls, openai_module

if TYPE_CHECKING:
    import openai


class AsyncClient(FleetCalls[AsyncIO]):
    """`ossa.Client` for asyncio: same calls, same errors. Belongs to one event loop; use it in an `async with`."""

    def __init__(
        self,
        connection: Connection,
        *,
        timeout_s: float = 330.0,
        max_retries: int = 2,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        io = AsyncIO(httpx.AsyncClient(**http_options(connection, timeout_s), transport=transport))
        super().__init__(Exchange(connection, io, max_retries=max_retries))

    @overload
    async def chat(
        self,
        prompt: Prompt,
        *,
        model: str = ...,
        stream: Literal[False] = ...,
        idempotency_key: str | None = ...,
        **parameters: Any,
    ) -> Answer: ...

    @overload
    async def chat(
        self,
        prompt: Prompt,
        *,
        model: str = ...,
        stream: Literal[True],
        idempotency_key: str | None = ...,
        **parameters: Any,
    ) -> AsyncChatStream: ...

    async def chat(
        self,
        prompt: Prompt,
        *,
        model: str = "auto",
        stream: bool = False,
        idempotency_key: str | None = None,
        **parameters: Any,
    ) -> Answer | AsyncChatStream:
        """Asks, and returns the answer; with `stream`, an iterator of its pieces.

        `prompt` is a text or a list of chat messages, `model` is `auto`, `pool/NAME` or `agent/NAME`;
        `parameters` (temperature, max_tokens, ...) go into the OpenAI body as they are. Leaving early cancels the task,
        unless it has an `idempotency_key`: then it goes on, and asking again under that key gives its answer.
        """
        request = chat_request(
            prompt, model=model, stream=stream, idempotency_key=idempotency_key, parameters=parameters
        )
        if stream:
            return AsyncChatStream(self._exchange, await self._exchange.start(request))
        return await self._exchange.send_and_parse(request, whole_answer)

    def openai(self) -> openai.AsyncOpenAI:
        """Returns the official client, set up for this fleet. Needs the `openai` package."""
        client: openai.AsyncOpenAI = openai_module().AsyncOpenAI(**self._openai_options())
        return client

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

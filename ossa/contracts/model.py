"""A model endpoint as the agent sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

from pydantic import Field

from ossa.contracts.task import Delta, Message, Usage
from ossa.contracts.value import Value


class ModelRequest(Value):
    """One call: `model` is the endpoint's own name, `parameters` go into the body as they are."""

    model: str
    messages: list[Message]
    parameters: dict[str, Any] = Field(default_factory=dict)
    timeout_s: float = Field(default=120.0, gt=0)
    billed_once: bool = Field(default=False, description="not tried again after a try that may have been billed")


class ModelReply(Value):
    """A whole answer. `usage.cost_usd` is priced by the client's price list."""

    message: Message
    finish_reason: str
    model: str
    usage: Usage
    logprobs: dict[str, Any] | None = Field(default=None, description="of the choice, where the request asked for them")


class ModelClient(Protocol):
    """Any OpenAI-compatible endpoint.

    `complete` and `stream` raise `ModelFailed` (5xx, network; after retries),
    `ModelRejected` (4xx that the request caused), `TimedOut`. Cancelling the awaiting task closes the call.
    """

    async def complete(self, request: ModelRequest) -> ModelReply: ...

    def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelReply]:
        """Yields what the model says as it comes, then the whole `ModelReply` once."""

    async def close(self) -> None: ...

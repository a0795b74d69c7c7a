"""The tool that fetches back what was left out of a shortened content."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from ossa.agent.conversation import FETCH, Conversation
from ossa.agent.tools import Tool, tool
from ossa.contracts.clock import Clock
from ossa.contracts.compression import CompressionOrder
from ossa.contracts.errors import OssaError
from ossa.contracts.turn import TurnCall, TurnSink
from ossa.models.estimate import text_tokens
from ossa.vortex.originals import HANDLE

FOUND_TOKENS = 600
"""The most tokens a search brings back."""


@cache
def fetch_tool() -> Tool:
    """Returns the tool as the model sees it."""

    @tool(effects="none", name=FETCH)
    async def fetch_original(handle: str, query: str = "") -> str:
        """Fetch what was left out of a result that ends in a line like `[12 left out: vx:abcdefghij]`.

        With a query only what concerns it comes back.
        """
        raise NotImplementedError

    return fetch_original


def bound_fetch(talk: Conversation, sink: TurnSink, clock: Clock, timeout_s: float) -> Tool:
    """The tool of one turn: this conversation's own originals, else what the owner keeps for the tenant."""

    async def fetch(handle: str, query: str = "") -> str:
        match = HANDLE.search(handle)
        if match is None:
            raise ValueError(f"{handle[:80]!r} is no handle; one looks like vx:abcdefghij")
        handle = match.group()
        try:
            async with clock.timeout(timeout_s):
                whole = talk.original(handle)
                if whole is None:
                    whole = (await sink.call(TurnCall(original=handle))).original
                if not query.strip() or text_tokens(whole) <= FOUND_TOKENS:
                    return whole
                order = CompressionOrder(content=whole, question=query, budget_tokens=FOUND_TOKENS)
                return (await sink.call(TurnCall(compress=(order,)))).compressed[0].text
        except OssaError as error:
            raise ValueError(error.message) from None

    return replace(fetch_tool(), call=fetch)

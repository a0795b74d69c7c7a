"""Answers as bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

import orjson
from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ossa.resilience.server_sent import encode_event


def json_answer(
    value: BaseModel | Mapping[str, Any] | list[Any],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    media_type: str = "application/json",
) -> Response:
    """A value as JSON."""
    content = value.model_dump_json().encode() if isinstance(value, BaseModel) else orjson.dumps(value)
    return Response(content, status_code=status, headers=dict(headers or {}), media_type=media_type)


class EventStream(Response):
    """Server-sent events, ended at once when the client hangs up: the generator is then closed.

    Args:
        unheard: called when the client has gone before the generator began, which then cannot tidy up itself.
    """

    def __init__(
        self,
        events: AsyncGenerator[bytes],
        headers: Mapping[str, str] | None = None,
        *,
        unheard: Callable[[], None] | None = None,
    ) -> None:
        wanted = {"cache-control": "no-cache", "x-accel-buffering": "no", **(headers or {})}
        super().__init__(None, status_code=200, headers=wanted, media_type="text/event-stream")
        del self.headers["content-length"]
        self._events = events
        self._unheard = unheard
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send_all(send), name="event-stream")
        gone = asyncio.create_task(hung_up(receive), name="event-stream-client")
        try:
            await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not sending.done():
                sending.cancel()
                await asyncio.wait((sending,))
            if not self._begun and self._unheard is not None:
                self._unheard()
        if not sending.cancelled():
            sending.result()

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._events) as events:
            self._begun = True
            async for event in events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def hung_up(receive: Receive) -> None:
    """Returns when the client has gone. To be awaited after the body was read."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return


def event(data: Mapping[str, Any], *, name: str | None = None, id: int | None = None) -> bytes:
    """One server-sent event."""
    return encode_event(orjson.dumps(data, default=str), type=name or "", id="" if id is None else str(id))

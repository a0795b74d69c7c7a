"""`x-request-id` is in every answer, once."""

from __future__ import annotations

import httpx
import pytest
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ossa.gateway.api.responses import Edge
from ossa.gateway.metrics import GatewayMetrics


class EchoingServer:
    """What Serve does in front of an application: an id for each request, and the same one in its answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = MutableHeaders(scope=scope)
        request_id = headers.get("x-request-id") or "made-in-front"
        headers.setdefault("x-request-id", request_id)

        async def echo(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("X-Request-ID", request_id)
            await send(message)

        await self._app(scope, receive, echo)


async def answer_with_id(scope: Scope, receive: Receive, send: Send) -> None:
    await Response(str(Request(scope).scope["ossa_request_id"]))(scope, receive, send)


async def break_down(scope: Scope, receive: Receive, send: Send) -> None:
    raise ZeroDivisionError


async def ids_of(app: ASGIApp, **headers: str) -> tuple[list[str], str]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://gateway") as http:
        answer = await http.get("/x", headers=headers)
        return answer.headers.get_list("x-request-id"), answer.text


@pytest.mark.parametrize("headers", [{}, {"x-request-id": "mine-1"}])
@pytest.mark.parametrize("echoed", [False, True])
async def test_the_id_is_answered_once(headers: dict[str, str], echoed: bool) -> None:
    edge = Edge(answer_with_id, GatewayMetrics("r"), echoed=echoed)
    ids, used = await ids_of(EchoingServer(edge) if echoed else edge, **headers)
    assert ids == [used]
    assert used == headers.get("x-request-id", "made-in-front" if echoed else used)


@pytest.mark.parametrize("echoed", [False, True])
async def test_a_failure_has_the_id_once_too(echoed: bool) -> None:
    edge = Edge(break_down, GatewayMetrics("r"), echoed=echoed)
    ids, _ = await ids_of(EchoingServer(edge) if echoed else edge, **{"x-request-id": "mine-1"})
    assert ids == ["mine-1"]


async def test_the_id_we_log_is_answered_where_the_given_one_cannot_be_used() -> None:
    edge = Edge(answer_with_id, GatewayMetrics("r"), echoed=True)
    ids, used = await ids_of(EchoingServer(edge), **{"x-request-id": "a b"})
    assert ids == [used, "a b"]
    assert used.startswith("req_")
